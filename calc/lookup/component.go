package lookup

import (
	"context"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/calc/model/safetensors"
)

// The kinds of components.
const (
	KindProjector     = "projector"
	KindAdapter       = "adapter"
	KindDraft         = "draft"
	KindDenoiser      = "denoiser"
	KindTextEncoder   = "text_encoder"
	KindImageEncoder  = "image_encoder"
	KindVAE           = "vae"
	KindControlNet    = "controlnet"
	KindSafetyChecker = "safety_checker"
	KindOther         = "other"
)

// Component is a part of what a reference names: the projector of a
// multimodal model, a draft model, a LoRA adapter, the text encoder or the
// denoiser of a pipeline. Sizes come from its headers.
type Component struct {
	// Name is the part's own name: a file, a folder of a pipeline.
	Name string
	// Kind is one of the kinds above.
	Kind string
	// Class is the class that its configuration names, "" when none does.
	Class string
	// Parameters is 0 when no header says how many there are.
	Parameters int64
	// Bytes is the size of its stored tensors, and ByDType the same by type.
	// Bytes is that of its files when they have no headers, and ByDType nil.
	Bytes   int64
	ByDType map[string]int64
	// Chosen marks, among several files of which one is loaded, the one that
	// the engine takes unless it is told otherwise.
	Chosen bool
	// Details are further facts by the names that its own files use: r,
	// lora_alpha, target_modules of an adapter. Nil when there are none.
	Details map[string]string
	Files   []File
}

// detail records a fact of the component unless it is empty.
func (c *Component) detail(name, value string) {
	if value == "" {
		return
	}
	if c.Details == nil {
		c.Details = map[string]string{}
	}
	c.Details[Clean(name, MaxText)] = Clean(value, MaxText)
}

// addSafetensors reads the headers of the parts into the component and returns
// their tensors.
func (c *Component) addSafetensors(ctx context.Context, t tree, parts []string) ([]safetensors.Tensor, error) {
	var r Result
	tensors, err := readHeaders(ctx, &r, t, parts)
	if err != nil {
		return nil, err
	}
	c.Files = append(c.Files, r.Files...)
	c.ByDType = safetensors.Stored(tensors)
	for i := range tensors {
		c.Bytes += tensors[i].Bytes()
		if x := &tensors[i]; counted(x) {
			c.Parameters += x.Elems()
		}
	}
	return tensors, nil
}

// counted reports whether a stored tensor's elements are parameters: indices
// and masks are not.
func counted(t *safetensors.Tensor) bool {
	switch t.DType {
	case "I64", "U64", "BOOL":
		return false
	}
	return true
}

// addGGUF adds what the header of a GGUF file says.
func (c *Component) addGGUF(h *gguf.Header, path string, size int64) {
	c.Files = append(c.Files, File{Path: path, Bytes: size, Role: "weights"})
	if c.ByDType == nil {
		c.ByDType = map[string]int64{}
	}
	for i := range h.Tensors {
		x := &h.Tensors[i]
		c.Parameters += x.Elems()
		c.ByDType[x.Type.String()] += x.Bytes
		c.Bytes += x.Bytes
	}
}

// storedTensors returns the tensors of headers as a model's, their names
// beginning with prefix.
func storedTensors(in []safetensors.Tensor, prefix string, g model.Group) []model.Tensor {
	out := make([]model.Tensor, 0, len(in))
	for i := range in {
		x := &in[i]
		t := model.Tensor{Name: prefix + x.Name, Layer: -1, Group: g, Out: 1, In: x.Elems(), Count: 1, Active: 1, Type: x.DType, Bytes: x.Bytes()}
		switch n := len(x.Shape); {
		case n < 2:
			t.Part = model.Vector
		case x.Shape[0] > 0:
			t.Out, t.In = x.Shape[0], x.Elems()/x.Shape[0]
			if n > 2 {
				t.Part = model.Conv
			}
		}
		if !counted(x) {
			t.Out, t.In, t.Part = 0, 0, model.Vector
		}
		out = append(out, t)
	}
	return out
}

// ggufTensors returns the tensors of a GGUF header as a model's.
func ggufTensors(h *gguf.Header, g model.Group) []model.Tensor {
	out := make([]model.Tensor, len(h.Tensors))
	for i := range h.Tensors {
		x := &h.Tensors[i]
		out[i] = model.Tensor{Name: x.Name, Layer: -1, Group: g, Out: x.Elems() / x.Dims[0], In: x.Dims[0], Count: 1, Active: 1, Type: x.Type.String(), Bytes: x.Bytes}
		if x.NDims < 2 {
			out[i].Part = model.Vector
		}
	}
	return out
}

// alone describes a reference that names nothing but the component: a model
// that holds its weights and no layers.
func (c *Component) alone(role model.Role, typ string, format model.Format, tensors []model.Tensor) *Result {
	class := c.Class
	if class == "" {
		class = typ
	}
	r := &Result{
		Model:       &model.Model{Type: typ, Architecture: class, Format: format, Role: role, Tensors: tensors, Exact: c.ByDType != nil},
		Components:  []Component{*c},
		Files:       c.Files,
		StoredBytes: c.Bytes, StoredByDType: c.ByDType,
	}
	return r
}
