package scoring

import (
	"reflect"
	"strings"

	"hwledger/calc/model"
)

// matchLog finds the model of a log by the names that its text gives when the
// shape that the log printed agrees, else by that shape alone when all models
// of it are one in memory.
func matchLog(r *logRow, ms *models) (f *found, why string) {
	why = "no known model is named so"
	for _, name := range r.names() {
		f = ms.find(name)
		if f.err != nil {
			if f = ms.family(name); f == nil {
				continue
			}
		}
		diff := r.differs(f.m)
		if diff == "" && (r.Arch == "" || f.m.Arch != "") {
			return f, ""
		}
		why = "the model found by name differs in " + diff
	}
	if r.Layers.int64 == nil || r.Arch == "" {
		return nil, why
	}
	var same *found
	for _, name := range ms.names {
		c := ms.find(name)
		if c.err != nil || c.m.Arch == "" || r.differs(c.m) != "" {
			continue
		}
		if same != nil && !alike(same.m, c.m) {
			return nil, "the shape in the log fits several models"
		}
		if same == nil {
			same = c
		}
	}
	if same == nil {
		return nil, why
	}
	return same, ""
}

// family returns any model of which a name is the beginning, when all that
// are have one shape.
func (ms *models) family(name string) *found {
	want := keyOf(name).base
	var same *found
	for _, k := range ms.keys {
		if want == "" || k.quant || !strings.HasPrefix(k.base, want+"-") {
			continue
		}
		c := ms.find(k.name)
		if c.err != nil {
			continue
		}
		if same != nil && !alike(same.m, c.m) {
			return nil
		}
		if same == nil {
			same = c
		}
	}
	return same
}

// alike reports models whose language model is the same in memory.
func alike(a, b *model.Model) bool {
	return a.Arch == b.Arch && a.Hidden == b.Hidden && a.Vocab == b.Vocab && a.Tied == b.Tied && reflect.DeepEqual(a.Layers, b.Layers)
}

// differs names the first printed fact that a model does not have.
func (r *logRow) differs(m *model.Model) string {
	is := func(p *int64, n int64) bool { return p == nil || *p == 0 || *p == n }
	layers := int64(len(m.Layers))
	if r.Arch != "" && m.Arch != "" && !strings.EqualFold(r.Arch, m.Arch) {
		return "architecture"
	}
	if !is(r.Layers.int64, layers) && !is(r.Layers.int64, layers+int64(len(m.MTPLayers))) {
		return "layers"
	}
	if !is(r.Hidden.int64, m.Hidden) {
		return "hidden size"
	}
	if !is(r.Vocab.int64, m.Vocab) {
		return "vocabulary"
	}
	heads, kv, experts := int64(0), int64(0), int64(0)
	for i := range m.Layers {
		experts = max(experts, m.Layers[i].FFN.Experts)
		for _, x := range m.Layers[i].Mixers {
			if a, ok := x.(*model.Attention); ok {
				heads, kv = max(heads, a.Heads), max(kv, a.KVHeads)
			}
		}
	}
	if heads > 0 && (!is(r.Heads.int64, heads) || !is(r.KVHeads.int64, kv)) {
		return "heads"
	}
	if !is(r.Experts.int64, experts) {
		return "experts"
	}
	return ""
}
