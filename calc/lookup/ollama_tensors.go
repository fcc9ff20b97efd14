package lookup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
	"hwledger/calc/model/safetensors"
)

// Models for Ollama's MLX engine are not one file: each tensor is a layer, a
// safetensors file of its own with what quantization stores beside the tensor
// (NAME.scale, NAME.bias, NAME.global_scale), and config.json is a layer under
// its name. Experts of a layer are stacked and share one file. A draft model's
// tensors begin with "draft.", its files with "draft/". (ollama x/create)
const ollamaDraft = "draft."

// fromTensors describes a model whose tensors are layers.
func (m *ollamaModel) fromTensors(ctx context.Context, layers []ollamaLayer) (*Result, error) {
	raw, config, err := m.config(ctx, configName)
	if err != nil {
		return nil, err
	}
	blobs, err := m.readTensors(ctx, layers)
	if err != nil {
		return nil, err
	}
	r := &Result{Files: []File{config}}
	var draft, tensors []safetensors.Tensor
	quantized := ollamaQuantization{}
	for i, b := range blobs {
		r.Files = append(r.Files, File{Path: m.blobs().path(layers[i].blobName()), Bytes: layers[i].Size, Role: "weights"})
		for _, t := range b.Tensors {
			if strings.HasPrefix(t.Name, ollamaDraft) {
				draft = append(draft, t)
			} else {
				tensors = append(tensors, t)
			}
		}
		if !strings.HasPrefix(layers[i].Name, ollamaDraft) {
			quantized.add(b)
		}
	}
	if raw, err = quantized.put(raw); err != nil {
		return nil, err
	}
	if err := r.attach(raw, tensors); err != nil {
		return nil, at(config.Path, err)
	}
	r.Provenance = append(r.Provenance, fact("config", configName, "Ollama's store: json layer"),
		fact("stored_bytes", strconv.FormatInt(r.StoredBytes, 10), fmt.Sprintf("headers of %d tensor layers", len(layers))))
	if len(draft) > 0 {
		r.Components = append(r.Components, draftTensors(draft))
	}
	return r, nil
}

// attach describes the model of a configuration and the tensors of all files.
func (r *Result) attach(config []byte, tensors []safetensors.Tensor) error {
	m, err := hfconfig.Parse(config)
	switch {
	case code(err) == model.UnsupportedArchitecture:
		m, err = safetensors.FromHeaders(config, tensors, err)
	case err == nil:
		err = safetensors.Attach(m, tensors, saysTied(config))
	}
	if err != nil {
		return err
	}
	r.Model, r.StoredByDType = m, safetensors.Stored(tensors)
	for _, n := range r.StoredByDType {
		r.StoredBytes += n
	}
	return nil
}

// config reads a json layer by its name.
func (m *ollamaModel) config(ctx context.Context, name string) ([]byte, File, error) {
	for _, l := range m.manifest.all("json") {
		if l.Name == name {
			raw, err := m.text(ctx, l, MaxConfig)
			return raw, File{Path: m.blobs().path(l.blobName()), Bytes: int64(len(raw)), Role: "config"}, err
		}
	}
	e := model.Errorf(model.UnsupportedArchitecture, "model", "%s has tensors but no %s", m.name, name)
	for _, l := range m.manifest.all("json") {
		if l.Name == "model_index.json" {
			e.Message = m.name.String() + " is an image generation model, which is not read from Ollama's store"
			e.Hint = "name its repository on the Hub (org/name)"
		}
	}
	return nil, File{}, e
}

// readTensors reads the headers of the layers, with the names of MLX.
func (m *ollamaModel) readTensors(ctx context.Context, layers []ollamaLayer) ([]*safetensors.Header, error) {
	out := make([]*safetensors.Header, len(layers))
	var done atomic.Int64
	err := each(ctx, len(layers), func(ctx context.Context, i int) error {
		name, err := m.blob(ctx, layers[i])
		if err != nil {
			return err
		}
		t := m.blobs()
		if out[i], _, err = readHeader(ctx, t, name); err != nil {
			return at(t.path(name), err)
		}
		renameCompanions(out[i].Tensors)
		report(ctx, done.Add(1), int64(len(layers)), layers[i].Name)
		return nil
	})
	return out, err
}

// ollamaCompanions are Ollama's endings of what quantization stores beside a tensor,
// and MLX's.
var ollamaCompanions = [...]struct{ from, to string }{
	{".scale", ".scales"}, {".bias", ".biases"}, {".global_scale", ".weight_global_scale"},
}

// renameCompanions gives the companions of quantized tensors the names that
// MLX itself writes: x.weight.scale becomes x.scales. The bias of a layer is
// none: no tensor of its file has its name without ".bias".
func renameCompanions(tensors []safetensors.Tensor) {
	names := make(map[string]bool, len(tensors))
	for i := range tensors {
		names[tensors[i].Name] = true
	}
	for i := range tensors {
		for _, c := range ollamaCompanions {
			base, ok := strings.CutSuffix(tensors[i].Name, c.from)
			if ok && names[base] {
				tensors[i].Name = strings.TrimSuffix(base, ".weight") + c.to
				break
			}
		}
	}
}

// ollamaQuantType is a quantization as Ollama names it in a file's metadata.
type ollamaQuantType struct {
	name  string
	group int64
}

// ollamaQuantization is the quantization of each quantized module.
type ollamaQuantization map[string]ollamaQuantType

// ollamaQuantTypes are the bits and MLX's mode of the types. (ollama x/quant)
var ollamaQuantTypes = map[string]struct {
	bits int64
	mode string
}{
	"int4": {4, ""}, "int8": {8, ""}, "nvfp4": {4, "nvfp4"}, "mxfp4": {4, "mxfp4"}, "mxfp8": {8, "mxfp8"},
}

// add takes the types from the metadata of a file: one for all its quantized
// tensors, or one for each.
func (q ollamaQuantization) add(h *safetensors.Header) {
	scaled := make(map[string]bool, len(h.Tensors))
	for i := range h.Tensors {
		if s, ok := strings.CutSuffix(h.Tensors[i].Name, ".scales"); ok {
			scaled[s] = true
		}
	}
	for i := range h.Tensors {
		name := h.Tensors[i].Name
		module := strings.TrimSuffix(name, ".weight")
		if !scaled[module] {
			continue
		}
		for _, key := range [...]string{name + ".", ""} {
			kind := strings.ToLower(h.Metadata[key+"quant_type"])
			group, err := strconv.ParseInt(h.Metadata[key+"group_size"], 10, 64)
			if _, known := ollamaQuantTypes[kind]; known && err == nil && group > 0 && group <= 1<<16 {
				q[module] = ollamaQuantType{kind, group}
				break
			}
		}
	}
}

// most returns the most frequent type.
func (q ollamaQuantization) most() ollamaQuantType {
	count := map[ollamaQuantType]int{}
	for _, t := range q {
		count[t]++
	}
	return slices.MaxFunc(slices.Collect(maps.Keys(count)), func(a, b ollamaQuantType) int {
		return cmp.Or(cmp.Compare(count[a], count[b]), cmp.Compare(a.name, b.name), cmp.Compare(a.group, b.group))
	})
}

// put writes the quantization into a configuration in MLX's own form. The one
// that is there is of the source, which was converted.
func (q ollamaQuantization) put(config []byte) ([]byte, error) {
	if len(q) == 0 {
		return config, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(config, &all); err != nil || all == nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: configName, Message: "not a JSON object", Err: err}
	}
	most := q.most()
	form := func(t ollamaQuantType) map[string]any {
		x := map[string]any{"group_size": t.group, "bits": ollamaQuantTypes[t.name].bits}
		if mode := ollamaQuantTypes[t.name].mode; mode != "" {
			x["mode"] = mode
		}
		return x
	}
	out := form(most)
	for module, t := range q {
		if t != most {
			out[module] = form(t)
		}
	}
	var err error
	if all["quantization"], err = json.Marshal(out); err != nil {
		return nil, err
	}
	delete(all, "quantization_config")
	return json.Marshal(all)
}

// draftTensors describes the draft model that is stored with a model. The shapes of
// quantized tensors do not tell its parameters.
func draftTensors(tensors []safetensors.Tensor) Component {
	c := Component{Name: KindDraft, Kind: KindDraft, ByDType: safetensors.Stored(tensors)}
	quantized := false
	for i := range tensors {
		c.Bytes += tensors[i].Bytes()
		c.Parameters += tensors[i].Elems()
		quantized = quantized || strings.HasSuffix(tensors[i].Name, ".scales")
	}
	if quantized {
		c.Parameters = 0
	}
	return c
}
