package safetensors

import (
	"fmt"
	"math/bits"
	"slices"

	"hwledger/calc/model"
)

// Stored sums the bytes of tensors by their type.
func Stored(tensors []Tensor) map[string]int64 {
	out := map[string]int64{}
	for i := range tensors {
		out[tensors[i].DType] += tensors[i].Bytes()
	}
	return out
}

// Attach replaces what a configuration implies about m's weights by what the
// headers of all its files list: m.Tensors keeps the names, shapes and splits
// of the configuration where a stored tensor belongs to one, with its stored
// type and bytes, scales and zero points of a quantization included; experts
// stored one by one become one stack; what is stored and not known keeps its
// own name, whole on every rank. Sums are exact whatever is recognised.
//
// A head stored beside tied embeddings is left out when tied says that the
// configuration ties them, and noted in m.Facts; otherwise headers decide
// whether they are tied. It fails with MalformedFile when a layer has no
// tensors at all.
func Attach(m *model.Model, tensors []Tensor, tied bool) error {
	a := newJoin(m, tensors)
	if err := a.complete(); err != nil {
		return err
	}
	a.tie(tied)
	for i := range a.stored {
		a.assign(&a.stored[i])
	}
	a.finish()
	return nil
}

// stored is what the files hold of one module: its weight or bias with
// everything a quantization stores beside it, all experts together.
type stored struct {
	place
	name  string // of the first tensor, for what is not recognised
	dtype string // of the largest tensor
	shape []int64
	main  int64 // bytes of the largest tensor
	bytes int64
	elems int64 // of tensors that are no companions
	plain bool  // every tensor is a plain float matrix without companions
	done  bool
}

type tensorKey struct {
	group model.Group
	layer int
	name  string
}

// join is the work of one Attach.
type join struct {
	m      *model.Model
	stored []stored
	have   map[tensorKey]int // index in m.Tensors
	filled map[int]string    // module that filled a tensor
	extra  []model.Tensor
	facts  []model.Fact
}

func newJoin(m *model.Model, tensors []Tensor) *join {
	a := &join{m: m, have: make(map[tensorKey]int, len(m.Tensors)), filled: map[int]string{}}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		a.have[tensorKey{t.Group, t.Layer, t.Name}] = i
	}
	type key struct {
		group        model.Group
		layer        int
		module, kind string
	}
	at := map[key]int{}
	for i := range tensors {
		t := &tensors[i]
		p := locate(t.Name, len(m.Layers))
		if p.group == model.Encoder && !m.EncDec {
			p.group = model.Text // all that BERT has is called an encoder
		}
		if p.group == model.MTP && p.layer < len(m.Layers) {
			p.layer = len(m.Layers) + max(0, p.layer)
		}
		k := key{p.group, p.layer, p.module, p.kind}
		j, ok := at[k]
		if !ok {
			j = len(a.stored)
			at[k] = j
			a.stored = append(a.stored, stored{place: p, name: t.Name, plain: true})
		}
		a.stored[j].add(t, p)
	}
	return a
}

func (s *stored) add(t *Tensor, p place) {
	n := t.Bytes()
	s.bytes += n
	if !p.companion {
		s.elems += t.Elems()
	}
	if n > s.main || s.dtype == "" {
		s.main, s.dtype, s.shape = n, t.DType, t.Shape
	}
	s.plain = s.plain && !p.companion && floats[t.DType]
}

// floats are the types in which one stored element is one parameter.
var floats = map[string]bool{"F64": true, "F32": true, "F16": true, "BF16": true, "F8_E4M3": true, "F8_E5M2": true}

// complete checks that every layer has tensors.
func (a *join) complete() error {
	has := make([]bool, len(a.m.Layers))
	for i := range a.stored {
		if s := &a.stored[i]; s.group == model.Text && s.layer >= 0 && s.layer < len(has) {
			has[s.layer] = true
		}
	}
	for i, ok := range has {
		if !ok && layerWeighs(a.m, i) {
			return model.Errorf(model.MalformedFile, "safetensors", "layer %d of %d has no tensors", i, len(has)).
				WithHint("check that all parts of the checkpoint are there and that config.json belongs to it")
		}
	}
	return nil
}

func layerWeighs(m *model.Model, layer int) bool {
	for i := range m.Tensors {
		if t := &m.Tensors[i]; t.Layer == layer && t.Group == model.Text && t.Elems() > 0 {
			return true
		}
	}
	return false
}

// tie settles whether the output projection is the token embedding.
func (a *join) tie(tied bool) {
	var head *stored
	for i := range a.stored {
		s := &a.stored[i]
		if s.group == model.Text && s.layer < 0 && s.kind == "weight" && a.isHead(s.module) {
			head = s
		}
	}
	_, expected := a.have[tensorKey{model.Text, -1, "output.weight"}]
	switch {
	case head == nil && expected && a.hasEmbedding():
		a.m.Tied = true
		a.note("tie_word_embeddings", "true", "the files hold no output projection")
	case head != nil && !expected && tied:
		head.done = true
		a.note("lm_head", fmt.Sprintf("%d bytes", head.bytes), "stored although it is the token embedding; engines do not load it twice")
	case head != nil && !expected && a.m.Tied:
		a.m.Tied = false
		a.note("tie_word_embeddings", "false", "the files hold an output projection")
		t := model.Matrix("output.weight", a.m.Vocab, a.m.Hidden).As(model.Head).With(model.ByVocab)
		t.Layer = -1
		a.have[tensorKey{model.Text, -1, t.Name}] = len(a.m.Tensors)
		a.m.Tensors = append(slices.Clip(a.m.Tensors), t)
	}
}

func (a *join) isHead(module string) bool {
	for _, t := range modules()["^"+module] {
		if t.names[0] == "output" {
			return true
		}
	}
	return false
}

func (a *join) hasEmbedding() bool {
	for i := range a.stored {
		if s := &a.stored[i]; s.layer < 0 && s.group == model.Text {
			for _, t := range modules()["^"+s.module] {
				if t.names[0] == "token_embd" {
					return true
				}
			}
		}
	}
	return false
}

func (a *join) note(field, value, from string) {
	a.facts = append(a.facts, model.Fact{Field: field, Value: value, From: "safetensors header: " + from})
}

// assign gives what is stored of a module to the model's tensors, or keeps it
// as one of its own.
func (a *join) assign(s *stored) {
	if s.done {
		return
	}
	if s.group == model.Text || s.group == model.MTP {
		for _, t := range a.targets(s) {
			if a.fill(s, t) {
				return
			}
		}
	}
	a.extra = append(a.extra, s.unknown())
}

// targets lists where a module may go, kind names added.
func (a *join) targets(s *stored) []target {
	var out []target
	try := func(key string) {
		for _, t := range modules()[key] {
			if !t.whole {
				names := make([]string, len(t.names))
				for i, n := range t.names {
					names[i] = n + "." + s.kind
				}
				t.names = names
			}
			out = append(out, t)
		}
	}
	if s.layer < 0 || s.group == model.MTP {
		try("^" + s.module)
	}
	if s.layer >= 0 {
		try(s.module + "." + s.kind)
		try(s.module)
	}
	return out
}

// fill shares the bytes of a module over the tensors of a target that the
// model has, in proportion to their size. It reports false when there are
// none, or when another module has filled them.
func (a *join) fill(s *stored, t target) bool {
	var found []int
	var total int64
	for _, name := range t.names {
		i, ok := a.have[tensorKey{s.group, s.layer, name}]
		if !ok {
			continue
		}
		if by := a.filled[i]; by != "" && by != s.module && !t.adds {
			return false
		}
		found = append(found, i)
		total += a.m.Tensors[i].Elems()
	}
	if len(found) == 0 || total == 0 {
		return false
	}
	left := s.bytes
	for n, i := range found {
		x := &a.m.Tensors[i]
		share := left
		if n < len(found)-1 {
			share = portion(s.bytes, x.Elems(), total)
		}
		left -= share
		x.Type, x.Bytes = s.dtype, x.Bytes+share
		a.filled[i] = s.module
		if len(found) == 1 && !t.adds && s.plain {
			reshape(x, s)
		}
	}
	return true
}

// portion returns bytes × part / total without overflow.
func portion(bytes, part, total int64) int64 {
	hi, lo := bits.Mul64(uint64(bytes), uint64(part))
	q, _ := bits.Div64(hi, lo, uint64(total)) // part ≤ total, so the quotient fits
	return int64(q)
}

// reshape takes the size of a tensor from the header when it is another than
// the configuration implies, as with a padded vocabulary.
func reshape(x *model.Tensor, s *stored) {
	if s.elems == x.Elems() || s.elems <= 0 {
		return
	}
	switch per := s.elems / max(1, x.Count); {
	case s.elems%max(1, x.Count) != 0:
	case x.Out == 1:
		x.In = per
	case x.In > 0 && per%x.In == 0:
		x.Out = per / x.In
	case x.Out > 0 && per%x.Out == 0:
		x.In = per / x.Out
	}
}

// unknown describes stored data that belongs to no tensor of the model.
func (s *stored) unknown() model.Tensor {
	name := s.module
	if s.layer < 0 && s.kind == "weight" {
		name = s.name
	}
	t := model.Tensor{Name: name, Layer: s.layer, Group: s.group, Part: model.Linear, Out: 1, In: max(s.elems, 1), Count: 1, Active: 1, Type: s.dtype, Bytes: s.bytes}
	if n := len(s.shape); n >= 2 && s.shape[0] > 0 {
		t.Out, t.In = s.shape[0], max(s.elems, 1)/s.shape[0]
	}
	switch {
	case s.kind == "bias":
		t.Part = model.Bias
	case len(s.shape) < 2:
		t.Part = model.Vector
	}
	return t
}

// finish puts the joined tensors into the model.
func (a *join) finish() {
	kept := make([]model.Tensor, 0, len(a.filled)+len(a.extra))
	missing := 0
	for i := range a.m.Tensors {
		switch t := &a.m.Tensors[i]; {
		case a.filled[i] != "":
			kept = append(kept, *t)
		case t.Group != model.Vision && t.Group != model.Audio && t.Group != model.Encoder:
			missing++
		}
	}
	if missing > 0 {
		a.note("tensors", fmt.Sprintf("%d not stored", missing), "tensors that the configuration implies and no file holds")
	}
	a.m.Tensors = append(kept, a.extra...)
	a.m.Format, a.m.Exact = model.FormatSafetensors, true
	if a.m.DType == "" {
		a.m.DType = a.commonType()
	}
	a.m.Facts = append(a.m.Facts, a.facts...)
}

// commonType returns the 16- or 32-bit float type that most bytes are in, by
// the name that configurations use.
func (a *join) commonType() string {
	names := map[string]string{"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
	sum := map[string]int64{}
	best := ""
	for i := range a.stored {
		s := &a.stored[i]
		if names[s.dtype] == "" {
			continue
		}
		if sum[s.dtype] += s.bytes; best == "" || sum[s.dtype] > sum[best] {
			best = s.dtype
		}
	}
	return names[best]
}
