package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// configName is the file that describes a checkpoint.
const configName = "config.json"

// form is a way to describe what a tree holds by one file in it.
type form struct {
	file string
	read func(context.Context, tree) (*Result, error)
}

// treeForms returns the forms in the order in which a tree is tried for them.
func treeForms() []form {
	return []form{
		{pipelineIndex, fromPipeline},
		{configName, func(ctx context.Context, t tree) (*Result, error) { return fromConfig(ctx, t, configName) }},
		{adapterConfig, fromAdapter},
		{mistralParams, fromMistral},
	}
}

// fromTree describes what a tree holds: a diffusers pipeline, a config.json
// with the weights beside it, an adapter, Mistral's own format, a GGUF, or
// nothing but projectors.
func fromTree(ctx context.Context, t tree) (*Result, error) {
	for _, f := range treeForms() {
		if t.has(ctx, f.file) {
			return f.read(ctx, t)
		}
	}
	all, err := t.files(ctx)
	if err != nil {
		return nil, err
	}
	found := ggufs(all)
	if len(found) == 0 {
		deep, err := deeper(t)
		if err != nil {
			return nil, err
		}
		found = ggufs(deep)
	}
	if len(found) == 0 {
		found = projectorFiles(all)
	}
	switch len(found) {
	case 0:
		return nil, model.Errorf(model.ModelNotFound, "model", "%s has neither config.json, model_index.json, adapter_config.json, params.json nor a GGUF file", Clean(t.path(""), MaxText))
	case 1:
		return fromGGUF(ctx, t, found[0])
	}
	e := model.Errorf(model.InvalidArgument, "model", "%s has %d GGUF models", Clean(t.path(""), MaxText), len(found))
	for _, name := range found[:min(len(found), 20)] {
		e.Candidates = append(e.Candidates, t.path(name))
	}
	return nil, e.WithHint("name one of them")
}

// fromCheckpoint describes what a JSON file of a checkpoint is about. Weights
// that were named without one are described by what lies beside them.
func fromCheckpoint(ctx context.Context, t tree, config string) (*Result, error) {
	for _, f := range treeForms() {
		if config == f.file && t.has(ctx, f.file) {
			return f.read(ctx, t)
		}
	}
	if config == configName {
		for _, f := range treeForms() {
			if t.has(ctx, f.file) {
				return f.read(ctx, t)
			}
		}
	}
	return fromConfig(ctx, t, config)
}

// fromConfig describes the model of a config.json with the safetensors headers
// that are beside it.
func fromConfig(ctx context.Context, t tree, config string) (*Result, error) {
	raw, err := t.read(ctx, config, MaxConfig)
	if err != nil {
		return nil, pathError(t.path(config), err)
	}
	r := &Result{Files: []File{{Path: t.path(config), Bytes: int64(len(raw)), Role: "config"}}}
	if raw, err = addQuantConfig(ctx, r, t, raw); err != nil {
		return nil, err
	}
	if d := draftOf(raw); d != nil {
		return fromDraft(ctx, t, r, d, raw)
	}
	r.Model, err = hfconfig.Parse(raw)
	if err != nil && code(err) != model.UnsupportedArchitecture {
		return nil, at(t.path(config), err)
	}
	if attachErr := attachHeaders(ctx, r, t, raw, err); attachErr != nil {
		return nil, attachErr
	}
	r.Provenance = append(r.Provenance, fact("config", config, t.origin()))
	adapter, _, _, err := readAdapter(ctx, t)
	if err != nil {
		return nil, err
	}
	if adapter != nil {
		r.Components = append(r.Components, *adapter)
	}
	if err := addModules(ctx, r, t); err != nil {
		return nil, err
	}
	return r, nil
}

// addQuantConfig puts what hf_quant_config.json says into a configuration
// that says nothing about quantization itself, in the form that engines give
// it: method modelopt with the file's quantization object.
func addQuantConfig(ctx context.Context, r *Result, t tree, raw []byte) ([]byte, error) {
	const name = "hf_quant_config.json"
	side, err := t.read(ctx, name, MaxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return raw, nil
	} else if err != nil {
		return nil, pathError(t.path(name), err)
	}
	var config map[string]json.RawMessage
	var quant struct {
		Quantization map[string]json.RawMessage `json:"quantization"`
	}
	if json.Unmarshal(raw, &config) != nil || config["quantization_config"] != nil || config == nil {
		return raw, nil
	}
	if err := json.Unmarshal(side, &quant); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: t.path(name), Message: "not the JSON object that a quantizer writes", Err: err}
	}
	if len(quant.Quantization) == 0 {
		return raw, nil
	}
	quant.Quantization["quant_method"] = json.RawMessage(`"modelopt"`)
	if config["quantization_config"], err = json.Marshal(quant.Quantization); err != nil {
		return nil, err
	}
	r.Files = append(r.Files, File{Path: t.path(name), Bytes: int64(len(side)), Role: "quantization"})
	r.Provenance = append(r.Provenance, fact("quantization", "modelopt", name))
	return json.Marshal(config)
}

// ggufs returns the names of the models among files: whole files and the
// first parts of split ones, without projector files.
func ggufs(files []entry) []string {
	var out []string
	for _, e := range files {
		low := strings.ToLower(e.name)
		if !strings.HasSuffix(low, ".gguf") || isProjector(low) {
			continue
		}
		if part, ok := splitPart(low); ok && part != 1 {
			continue
		}
		out = append(out, e.name)
	}
	slices.Sort(out)
	return out
}
