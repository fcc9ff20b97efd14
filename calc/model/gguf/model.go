package gguf

import (
	"cmp"
	"slices"
	"strconv"

	"hwledger/calc/model"
)

// builder turns a header into a model.
type builder struct {
	h   *Header
	k   keys
	m   *model.Model
	fam family

	n, all               int // layers of the trunk, and with MTP layers
	heads, kvHeads, topK []int64
	windows              []int64 // of each layer, 0 for full attention
	keyDim, valueDim     [2]int64
	prefix               string // of the layers' tensors
	kvLayers             int    // layers from here on read another's cache
	parts                []layerParts
}

// Model describes the model as llama.cpp reads it: layers from the keys and
// tensors that src/models/<arch>.cpp uses, weights from the tensor infos.
//
// Where llama.cpp deviates from the model's own configuration (Phi-3's window,
// Mistral's in "llama") the description follows llama.cpp, whose format this
// is, and Facts says so. An architecture that is not known is described when
// its keys and tensors are those of plain decoders, and Facts says that; else
// it fails with UnsupportedArchitecture and names what was not understood. It
// fails with MalformedFile when keys and tensors contradict each other.
func (h *Header) Model() (*model.Model, error) {
	if h.Split != nil {
		return nil, model.Errorf(model.InvalidArgument, "model", "the file is part %d of %d of a split model", h.Split.No+1, h.Split.Count).
			WithHint("give all %d files of the set", h.Split.Count)
	}
	arch := h.Architecture()
	if arch == "" {
		return nil, malformed("general.architecture", "is missing")
	}
	if err := h.notAModel(arch); err != nil {
		return nil, err
	}
	b := &builder{h: h, k: keys{h: h, arch: arch}}
	var known bool
	if b.fam, known = families[arch]; !known {
		if err := b.unknownKeys(); err != nil {
			return nil, err
		}
	}
	if b.fam.refuse != "" {
		return nil, b.unsupported(b.fam.refuse)
	}
	if err := b.shape(); err != nil {
		return nil, err
	}
	if err := b.layers(); err != nil {
		return nil, err
	}
	b.m.Tensors = b.tensors()
	if !known {
		if err := b.unknownTensors(); err != nil {
			return nil, err
		}
	}
	if b.fam.finish != nil {
		b.fam.finish(b)
	}
	b.facts()
	if b.k.err != nil {
		return nil, b.k.err
	}
	return b.m, nil
}

// notAModel refuses files of other kinds: projectors, adapters, matrices for
// quantization.
func (h *Header) notAModel(arch string) error {
	what, hint := "", "give the language model's own file"
	switch h.Kind() {
	case KindProjector:
		what = "a vision or audio projector (mmproj)"
	case KindAdapter:
		what = "an adapter (LoRA)"
	case KindIMatrix:
		what = "an importance matrix"
	case KindVocabulary:
		what, hint = "a file without tensors (vocabulary only)", "give a file with weights"
	default:
		return nil
	}
	return model.Errorf(model.UnsupportedArchitecture, "general.architecture", "%s is %s, not a language model", printable(arch), what).WithHint("%s", hint)
}

func (b *builder) unsupported(format string, args ...any) *model.Error {
	return model.Errorf(model.UnsupportedArchitecture, "general.architecture", "%s: "+format, append([]any{printable(b.k.arch)}, args...)...)
}

// shape reads what holds for the whole model.
func (b *builder) shape() error {
	k := &b.k
	b.m = &model.Model{Type: k.arch, Architecture: k.arch, Arch: k.arch, Format: model.FormatGGUF, Exact: true,
		Name: b.h.Text("general.name"), License: b.h.Text("general.license"),
		Hidden: k.need("embedding_length"), Context: k.int("context_length", 0),
		Causal: !b.fam.noCache, EncDec: b.fam.encDec, Rope: k.rope(), Meta: k.scalars()}
	all := k.need("block_count")
	if b.fam.blocks != nil {
		all = b.fam.blocks(k)
	}
	if k.err == nil && b.m.Hidden > maxSize {
		k.fail("embedding_length", "is %d", b.m.Hidden)
	}
	if k.err == nil && all > maxLayers {
		k.fail("block_count", "is %d", all)
	}
	nextn := k.int("nextn_predict_layers", 0)
	if k.err == nil && nextn >= all {
		k.fail("nextn_predict_layers", "is %d of %d layers", nextn, all)
	}
	if k.err != nil {
		return k.err
	}
	b.all, b.n = int(all), int(all-nextn)
	b.prefix = cmp.Or(b.fam.prefix, "blk.")
	b.vocabulary()
	zero := make([]int64, b.all)
	b.heads = k.perLayer("attention.head_count", b.all, zero)
	b.kvHeads = k.perLayer("attention.head_count_kv", b.all, b.heads)
	b.topK = k.perLayer("expert_used_count", b.all, zero)
	b.headSizes()
	b.kvLayers = b.all
	if b.fam.kvLayers != nil {
		b.kvLayers = b.fam.kvLayers(b)
	}
	b.windows = b.windowSizes()
	if k.err != nil {
		return k.err
	}
	return b.sortParts()
}

// vocabulary reads the number of tokens: the tokenizer's list, or the key of
// files without one, or the rows of the embedding.
func (b *builder) vocabulary() {
	embd := b.h.Tensor("token_embd.weight")
	b.m.Tied = b.h.Tensor("output.weight") == nil && embd != nil && !b.fam.noHead
	if v, ok := b.h.KV["tokenizer.ggml.tokens"]; ok && v.Type == Array && v.Len > 0 {
		b.m.Vocab = v.Len
	} else {
		b.m.Vocab = b.k.int("vocab_size", rows(embd))
	}
	if embd != nil && columns(embd) != b.m.Hidden {
		b.k.fail("embedding_length", "is %d, but token_embd.weight has %d columns", b.m.Hidden, columns(embd))
	}
}

// headSizes reads the widths of keys and values, for full and for sliding
// layers. (llama_model_base::load_hparams)
func (b *builder) headSizes() {
	def := int64(0)
	if most := slices.Max(b.heads); most > 0 {
		h := b.heads[0]
		if h == 0 {
			h = most
		}
		def = b.m.Hidden / h
	}
	b.keyDim[0] = b.k.int("attention.key_length", def)
	b.valueDim[0] = b.k.int("attention.value_length", def)
	b.keyDim[1] = b.k.int("attention.key_length_swa", b.keyDim[0])
	b.valueDim[1] = b.k.int("attention.value_length_swa", b.valueDim[0])
	if dim := b.k.int("rope.dimension_count", 0); dim < b.keyDim[0] {
		b.m.Rope.Dim = dim
	}
}

// layers describes every layer.
func (b *builder) layers() error {
	all := make([]model.Layer, b.all)
	for i := range all {
		if i >= b.n && len(b.parts[i]) == 0 {
			all = all[:i] // the file leaves its MTP layers out
			break
		}
		mixers, err := b.mixers(i)
		if err != nil {
			return err
		}
		ffn, err := b.ffn(i)
		if err != nil {
			return err
		}
		all[i] = model.Layer{Mixers: mixers, FFN: ffn}
	}
	b.m.Layers, b.m.MTPLayers = all[:b.n:b.n], all[b.n:]
	if len(b.m.MTPLayers) == 0 {
		b.m.MTPLayers = nil
	}
	return nil
}

func (b *builder) layerKey(layer int, name string) string {
	return "blk." + strconv.Itoa(layer) + "." + name
}

// fact records where something was read.
func (b *builder) fact(field, value, from string) {
	b.m.Facts = append(b.m.Facts, model.Fact{Field: field, Value: value, From: from})
}

// facts records what the header says of itself.
func (b *builder) facts() {
	from := "gguf header: "
	b.fact("architecture", b.k.arch, from+"general.architecture")
	for _, f := range [...][2]string{{"name", "general.name"}, {"license", "general.license"}, {"size", "general.size_label"}, {"base model", "general.base_model.0.repo_url"}, {"quantized by", "general.quantized_by"}} {
		if s := b.h.Text(f[1]); s != "" {
			b.fact(f[0], s, from+f[1])
		}
	}
	if b.m.Context > 0 {
		b.fact("context", strconv.FormatInt(b.m.Context, 10), from+b.k.arch+".context_length")
	}
	b.fact("vocabulary", strconv.FormatInt(b.m.Vocab, 10), from+"tokenizer.ggml.tokens, vocab_size or token_embd.weight")
	b.fact("weights", strconv.Itoa(len(b.h.Tensors))+" tensors, "+strconv.FormatInt(b.h.TensorBytes(), 10)+" bytes", from+"tensor infos")
	if n, ok := b.h.KV["general.file_type"].Int(); ok {
		b.fact("file type", fileType(n), from+"general.file_type")
	}
	if b.h.MissingBytes > 0 {
		b.fact("incomplete", strconv.FormatInt(b.h.MissingBytes, 10)+" bytes of tensor data are missing", "file size")
	}
	for i := range b.m.Tensors {
		switch b.m.Tensors[i].Group {
		case model.Vision, model.Audio:
			b.m.Multimodal = true
		}
	}
}
