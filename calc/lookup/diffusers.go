package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"hwledger/calc/model"
)

// pipelineIndex is the file that describes a diffusers pipeline.
const pipelineIndex = "model_index.json"

// maxParts is the most parts that a pipeline may have.
const maxParts = 64

// pipelinePart is one entry of model_index.json: a folder, and the library and
// class that load it.
type pipelinePart struct{ folder, library, class string }

// parsePipeline reads a model_index.json: the pipeline's class and its parts
// that have weights, in order of their names. Parts that are null were left
// out by whoever saved the pipeline.
func parsePipeline(raw []byte) (class string, parts []pipelinePart, err error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil || doc == nil {
		return "", nil, &model.Error{Code: model.MalformedFile, Field: pipelineIndex, Message: "not a JSON object", Err: err}
	}
	if json.Unmarshal(doc["_class_name"], &class) != nil || class == "" {
		return "", nil, model.Errorf(model.MalformedFile, pipelineIndex, "_class_name is missing: this is no diffusers pipeline")
	}
	for folder, v := range doc {
		var pair []*string
		if strings.HasPrefix(folder, "_") || json.Unmarshal(v, &pair) != nil || len(pair) != 2 || pair[1] == nil {
			continue
		}
		p := pipelinePart{folder: folder, class: *pair[1]}
		if pair[0] != nil {
			p.library = *pair[0]
		}
		if !partName(folder) {
			return "", nil, model.Errorf(model.MalformedFile, pipelineIndex, "names %.80q, which is not a folder of the pipeline", folder)
		}
		if p.weighs() {
			parts = append(parts, p)
		}
	}
	if len(parts) > maxParts {
		return "", nil, model.Errorf(model.MalformedFile, pipelineIndex, "lists %d parts", len(parts))
	}
	slices.SortFunc(parts, func(a, b pipelinePart) int { return strings.Compare(a.folder, b.folder) })
	return Clean(class, MaxText), parts, nil
}

func partName(s string) bool { return hubWord(s) && s[0] != '.' }

// weighs reports whether the part is a network: schedulers, tokenizers and
// processors are none.
func (p *pipelinePart) weighs() bool {
	for _, s := range [...]string{"Scheduler", "Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor", "ImageProcessorFast", "VideoProcessor"} {
		if strings.HasSuffix(p.class, s) {
			return false
		}
	}
	return true
}

// kind says what the part does, by its folder's name and its class.
func (p *pipelinePart) kind() string {
	for _, k := range [...]struct{ word, kind string }{
		{"controlnet", KindControlNet}, {"safety", KindSafetyChecker}, {"text_encoder", KindTextEncoder}, {"image_encoder", KindImageEncoder},
		{"unet", KindDenoiser}, {"transformer", KindDenoiser}, {"prior", KindDenoiser}, {"decoder", KindDenoiser},
		{"vqvae", KindVAE}, {"vqgan", KindVAE}, {"vae", KindVAE}, {"movq", KindVAE},
	} {
		if strings.HasPrefix(p.folder, k.word) || strings.HasSuffix(p.folder, "_"+k.word) {
			return k.kind
		}
	}
	switch {
	case strings.Contains(p.class, "Autoencoder"):
		return KindVAE
	case strings.Contains(p.class, "UNet"), strings.Contains(p.class, "Transformer2DModel"), strings.Contains(p.class, "Transformer3DModel"):
		return KindDenoiser
	}
	return KindOther
}

// fromPipeline describes a diffusers pipeline: a component for each folder
// that has weights, and a model that holds the tensors of all of them.
func fromPipeline(ctx context.Context, t tree) (*Result, error) {
	raw, err := t.read(ctx, pipelineIndex, MaxConfig)
	if err != nil {
		return nil, pathError(t.path(pipelineIndex), err)
	}
	class, parts, err := parsePipeline(raw)
	if err != nil {
		return nil, at(t.path(pipelineIndex), err)
	}
	m := &model.Model{Type: "diffusers", Architecture: class, Format: model.FormatSafetensors, Role: model.RolePipeline, Exact: true}
	r := &Result{Model: m, StoredByDType: map[string]int64{}, Files: []File{{Path: t.path(pipelineIndex), Bytes: int64(len(raw)), Role: "config"}}}
	r.Provenance = append(r.Provenance, fact("pipeline", class, pipelineIndex+", "+t.origin()))
	var missing []string
	for i := range parts {
		c, tensors, err := parts[i].read(ctx, t)
		if err != nil {
			return nil, err
		}
		if len(c.Files) == 0 {
			missing = append(missing, c.Name)
			r.Provenance = append(r.Provenance, fact(c.Name, "", "no weights are there: its size is not known and in no total"))
			if c.Kind == KindDenoiser {
				return nil, model.Errorf(model.MalformedFile, "model", "the pipeline is not complete: %s has no weights", Clean(t.path(c.Name), MaxText)).
					WithHint("finish the download")
			}
		}
		r.Components = append(r.Components, *c)
		r.Files = append(r.Files, c.Files...)
		m.Tensors = append(m.Tensors, tensors...)
		r.StoredBytes += c.Bytes
		for typ, n := range c.ByDType {
			r.StoredByDType[typ] += n
		}
	}
	if len(missing) == len(parts) {
		return nil, model.Errorf(model.MalformedFile, "model", "no part of the pipeline has weights").WithHint("finish the download")
	}
	r.Provenance = append(r.Provenance, fact("stored_bytes", fmt.Sprint(r.StoredBytes), fmt.Sprintf("safetensors headers of %d parts", len(parts)-len(missing))))
	return r, nil
}

// read describes one part by its own folder. A part without weights has no
// files.
func (p *pipelinePart) read(ctx context.Context, t tree) (*Component, []model.Tensor, error) {
	c := &Component{Name: p.folder, Kind: p.kind(), Class: Clean(p.class, MaxText)}
	sub := below(t, p.folder)
	files, others, err := weightFiles(ctx, sub)
	if err != nil {
		return nil, nil, err
	}
	c.detail("variants", strings.Join(others, ", "))
	switch {
	case len(files) == 0:
		return c, nil, nil
	case path.Ext(files[0]) != ".safetensors":
		// Without a header only the size is known: one tensor without shape.
		if err := c.addPickles(ctx, sub, files); err != nil {
			return nil, nil, err
		}
		whole := model.Tensor{Name: p.folder + "/" + files[0], Layer: -1, Group: model.Pipeline, Part: model.Vector, Count: 1, Active: 1, Bytes: c.Bytes}
		return c, []model.Tensor{whole}, nil
	}
	stored, err := c.addSafetensors(ctx, sub, files)
	if err != nil {
		return nil, nil, err
	}
	return c, storedTensors(stored, p.folder+"/", model.Pipeline), nil
}
