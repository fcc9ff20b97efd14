package gguf

import (
	"strings"

	"hwledger/calc/model"
)

// part is one tensor of a layer by its name without "blk.N.".
type part struct {
	name string
	t    *Tensor
}

// layerParts are the tensors of one layer.
type layerParts []part

// get returns the tensor of the given name, or nil.
func (l layerParts) get(name string) *Tensor {
	for i := range l {
		if l[i].name == name {
			return l[i].t
		}
	}
	return nil
}

func (l layerParts) has(name string) bool { return l.get(name) != nil }

// any returns the first tensor there is of the given names, or nil.
func (l layerParts) any(names ...string) *Tensor {
	for _, n := range names {
		if t := l.get(n); t != nil {
			return t
		}
	}
	return nil
}

// columns and rows of a matrix, 0 when it is not there.
func columns(t *Tensor) int64 {
	if t == nil {
		return 0
	}
	return t.Dims[0]
}

func rows(t *Tensor) int64 {
	if t == nil {
		return 0
	}
	return t.Dims[1]
}

// sortParts puts tensors to their layers.
func (b *builder) sortParts() error {
	b.parts = make([]layerParts, b.all)
	for i := range b.h.Tensors {
		t := &b.h.Tensors[i]
		name, layer := splitLayer(t.Name, b.prefix)
		if layer < 0 {
			continue
		}
		if layer >= b.all {
			return malformed(printable(t.Name), "the tensor belongs to layer %d, but block_count is %d", layer, b.all)
		}
		b.parts[layer] = append(b.parts[layer], part{name, t})
	}
	for i, p := range b.parts[:b.n] {
		if len(p) == 0 {
			return malformed("block_count", "layer %d of %d has no tensors", i, b.n).
				WithHint("the file is incomplete, or one of a split set: give the whole set")
		}
	}
	return nil
}

// tensors translates the tensor infos, one for one but for old files with a
// tensor for each expert, whose experts are stacked here as newer files do.
func (b *builder) tensors() []model.Tensor {
	out := make([]model.Tensor, 0, len(b.h.Tensors))
	var stacks map[string]int
	for i := range b.h.Tensors {
		t := &b.h.Tensors[i]
		m := b.tensor(t)
		if stacked, ok := singleExpert(m.Name); ok && m.Layer >= 0 {
			if stacks == nil {
				stacks = map[string]int{}
			}
			key := b.layerKey(m.Layer, stacked)
			if at, seen := stacks[key]; seen && out[at].Out == m.Out && out[at].In == m.In {
				out[at].Count++
				out[at].Bytes += m.Bytes
				out[at].Active = min(out[at].Count, b.topK[m.Layer])
				continue
			}
			stacks[key] = len(out)
			r := roleOf(stacked, 3)
			m.Name, m.Part, m.Split, m.Active = stacked, r.part, r.split, min(1, b.topK[m.Layer])
		}
		out = append(out, m)
	}
	return out
}

// tensor translates one tensor info.
func (b *builder) tensor(t *Tensor) model.Tensor {
	name, layer := splitLayer(t.Name, b.prefix)
	r := roleOf(name, t.NDims)
	m := model.Tensor{Name: name, Layer: layer, Part: r.part, Split: r.split,
		In: t.Dims[0], Out: t.Dims[1] * t.Dims[2] * t.Dims[3], Count: 1, Active: 1,
		Type: t.Type.String(), Bytes: t.Bytes}
	if layer < 0 {
		m.Group = groupOf(name)
		return m
	}
	if layer >= b.n {
		m.Group = model.MTP
	}
	switch {
	case r.part == model.Expert && t.NDims >= 3:
		m.Out, m.Count = t.Dims[1], t.Dims[2]
	case r.part == model.Bias && t.NDims == 2 && strings.HasSuffix(name, "exps.bias"):
		m.Out, m.Count = 1, t.Dims[1]
	}
	if m.Count > 1 {
		m.Active = min(m.Count, b.topK[layer])
	}
	if m.Split == model.ByKVHead {
		m.Units = max(1, b.kvHeads[layer])
	}
	return m
}

// singleExpert turns the name of one expert's matrix in files from before
// experts were stacked ("ffn_up.3.weight") into the stack's.
func singleExpert(name string) (string, bool) {
	for _, stem := range [...]string{"ffn_gate", "ffn_up", "ffn_down"} {
		rest, ok := strings.CutPrefix(name, stem+".")
		if !ok {
			continue
		}
		num, ok := strings.CutSuffix(rest, ".weight")
		if _, isNumber := digits(num); ok && isNumber && num != "" && len(num) < 5 {
			return stem + "_exps.weight", true
		}
	}
	return "", false
}
