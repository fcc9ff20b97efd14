package gguf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// sketch writes headers of architectures for which nothing was recorded. Keys
// are without the architecture's name.
type sketch struct {
	*ggufgen.File
	arch string
	d    int64
}

func newSketch(arch string, layers int, d int64, keys map[string]any) *sketch {
	s := &sketch{&ggufgen.File{}, arch, d}
	s.Set("general.architecture", arch).Set(arch+".vocab_size", 64).Set(arch+".context_length", 4096).
		Set(arch+".embedding_length", uint32(d)).Set(arch+".block_count", uint32(layers))
	for k, v := range keys {
		s.Set(arch+"."+k, v)
	}
	s.Add("token_embd.weight", ggml.F16, d, 64).Add("output_norm.weight", ggml.F32, d)
	return s
}

// layer adds tensors: name, columns, rows and the third dimension, as many as
// the tensor has.
func (s *sketch) layer(i int, tensors map[string][]int64) *sketch {
	for name, dims := range tensors {
		s.Add(fmt.Sprintf("blk.%d.%s", i, name), ggml.F16, dims...)
	}
	return s
}

func (s *sketch) attention(i int, q, k, v int64) *sketch {
	t := map[string][]int64{"attn_q.weight": {s.d, q}, "attn_k.weight": {s.d, k}, "attn_output.weight": {q, s.d},
		"ffn_gate.weight": {s.d, 32}, "ffn_up.weight": {s.d, 32}, "ffn_down.weight": {32, s.d}}
	if v > 0 {
		t["attn_v.weight"] = []int64{s.d, v}
	}
	return s.layer(i, t)
}

func (s *sketch) model(t *testing.T) *model.Model {
	t.Helper()
	m, err := header(t, s.File).Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantRefused checks that Model fails with code and names all of text.
func wantRefused(t *testing.T, f *ggufgen.File, code model.Code, text ...string) {
	t.Helper()
	_, err := header(t, f).Model()
	e, ok := errors.AsType[*model.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("error %v, want %s", err, code)
	}
	for _, s := range text {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not name %q", err, s)
		}
	}
}

func hasFact(m *model.Model, text string) bool {
	for _, f := range m.Facts {
		if strings.Contains(f.Value, text) {
			return true
		}
	}
	return false
}

// Published patterns: Gemma-3-27B has 10 full layers of 62, SmolThinker and
// Cohere2-MoE begin with a full one, Llama-4 has every fourth full.
func TestWindowPatterns(t *testing.T) {
	for _, c := range []struct {
		arch   string
		layers int
		keys   map[string]any
		full   string // layers with the full context among the first eight
		count  int64
		window int64
	}{
		{"gemma2", 42, map[string]any{}, "1 3 5 7", 21, 4096},
		{"gemma3", 62, map[string]any{"attention.sliding_window": 1024}, "5", 10, 1024},
		{"gemma3", 62, map[string]any{}, "0 1 2 3 4 5 6 7", 62, 0},
		{"gpt-oss", 24, map[string]any{"attention.sliding_window": 128}, "1 3 5 7", 12, 128},
		{"llama4", 48, map[string]any{}, "3 7", 12, 8192},
		{"llama4", 48, map[string]any{"attention.sliding_window": 0}, "0 1 2 3 4 5 6 7", 48, 0},
		{"cohere2", 32, map[string]any{"attention.sliding_window": 4096}, "3 7", 8, 4096},
		{"exaone4", 64, map[string]any{"attention.sliding_window": 4096}, "3 7", 16, 4096},
		{"exaone4", 30, map[string]any{"attention.sliding_window": 4096}, "0 1 2 3 4 5 6 7", 30, 0},
		{"smallthinker", 32, map[string]any{"attention.sliding_window": 512}, "0 4", 8, 4096},
		{"gemma3", 6, map[string]any{"attention.sliding_window": 1024, "attention.sliding_window_pattern": 3}, "2 5", 2, 1024},
		{"mimo2", 4, map[string]any{"attention.sliding_window": 128, "attention.sliding_window_pattern": []bool{false, true, true, false}}, "0 3", 2, 128},
		{"llama", 8, map[string]any{"attention.sliding_window": 4096}, "0 1 2 3 4 5 6 7", 8, 0},
		{"qwen2", 8, map[string]any{"attention.sliding_window": 4096}, "0 1 2 3 4 5 6 7", 8, 0},
		{"phi3", 8, map[string]any{"attention.sliding_window": 2047}, "0 1 2 3 4 5 6 7", 8, 0},
	} {
		c.keys["attention.head_count"] = 4
		s := newSketch(c.arch, c.layers, 64, c.keys)
		for i := range c.layers {
			s.attention(i, 64, 64, 64)
		}
		m := s.model(t)
		var full []string
		var count, window int64
		for i := range m.Layers {
			a := m.Layers[i].Mixers[0].(*model.Attention)
			window = max(window, a.Window)
			if a.Window == 0 {
				count++
				if i < 8 {
					full = append(full, fmt.Sprint(i))
				}
			}
		}
		if got := strings.Join(full, " "); got != c.full || count != c.count || window != c.window {
			t.Errorf("%s %v: full layers %s …, %d in all, window %d; want %s, %d, %d", c.arch, c.keys, got, count, window, c.full, c.count, c.window)
		}
		if c.arch == "phi3" && !hasFact(m, "every layer keeps the full context") {
			t.Error("phi3's window is dropped without a word")
		}
	}
	wantRefused(t, newSketch("mimo2", 1, 64, map[string]any{"attention.head_count": 4, "attention.sliding_window": 128}).attention(0, 64, 64, 64).File,
		model.MalformedFile, "sliding_window_pattern")
}

// Gemma 4 has heads of another size in sliding layers, full layers without
// values, and layers at the end that read the cache of the last of their kind.
func TestGemma4(t *testing.T) {
	s := newSketch("gemma4", 4, 64, map[string]any{"attention.head_count": 4, "attention.head_count_kv": []int32{2, 1, 2, 1},
		"attention.key_length": 32, "attention.value_length": 32, "attention.key_length_swa": 16, "attention.value_length_swa": 16,
		"attention.sliding_window": 512, "attention.sliding_window_pattern": []bool{true, false, true, false}, "attention.shared_kv_layers": 2})
	s.attention(0, 64, 32, 32).attention(1, 128, 32, 0).attention(2, 64, 32, 32).attention(3, 128, 32, 0)
	m := s.model(t)
	for i, want := range []model.Attention{
		{Heads: 4, KVHeads: 2, KeyDim: 16, ValueDim: 16, Window: 512, SharedFrom: -1},
		{Heads: 4, KVHeads: 1, KeyDim: 32, ValueDim: 32, SharedFrom: -1, NoValue: true},
		{Heads: 4, KVHeads: 2, KeyDim: 16, ValueDim: 16, Window: 512, SharedFrom: 0, KVWeights: true},
		{Heads: 4, KVHeads: 1, KeyDim: 32, ValueDim: 32, SharedFrom: 1, NoValue: true, KVWeights: true},
	} {
		if got := *m.Layers[i].Mixers[0].(*model.Attention); got != want {
			t.Errorf("layer %d: %+v, want %+v", i, got, want)
		}
	}
}

// Nemotron-H's layers are one of mixer and feed-forward each; its experts have
// no gate.
func TestNemotronH(t *testing.T) {
	s := newSketch("nemotron_h_moe", 3, 64, map[string]any{"attention.head_count": 4, "attention.head_count_kv": []int32{0, 0, 2},
		"feed_forward_length": []int32{0, 32, 0}, "attention.key_length": 16, "attention.value_length": 16, "expert_count": 4, "expert_used_count": 2,
		"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16, "ssm.time_step_rank": 8, "ssm.group_count": 2})
	s.layer(0, map[string][]int64{"ssm_in.weight": {64, 328}, "ssm_conv1d.weight": {4, 192}, "ssm_out.weight": {128, 64}})
	s.layer(1, map[string][]int64{"ffn_gate_inp.weight": {64, 4}, "ffn_up_exps.weight": {64, 32, 4}, "ffn_down_exps.weight": {32, 64, 4}})
	s.layer(2, map[string][]int64{"attn_q.weight": {64, 64}, "attn_k.weight": {64, 32}, "attn_v.weight": {64, 32}, "attn_output.weight": {64, 64}})
	m := s.model(t)
	var kinds []string
	for i := range m.Layers {
		kinds = append(kinds, string(m.Layers[i].Kind()))
	}
	if got := strings.Join(kinds, " "); got != "mamba2 none full" {
		t.Errorf("layers are %s", got)
	}
	if f := m.Layers[1].FFN; !f.PlainExperts || f.Experts != 4 || f.TopK != 2 || f.ExpertWidth != 32 {
		t.Errorf("experts %+v", f)
	}
}

// GLM-5.2 lists the layers that own an indexer; the NextN layer has none.
func TestIndexerAndNextN(t *testing.T) {
	mla := map[string][]int64{"attn_q_a.weight": {64, 32}, "attn_q_b.weight": {32, 96}, "attn_kv_a_mqa.weight": {64, 40},
		"attn_kv_a_norm.weight": {32}, "attn_k_b.weight": {16, 32, 4}, "attn_v_b.weight": {32, 16, 4}, "attn_output.weight": {64, 64},
		"ffn_down.weight": {32, 64}, "ffn_up.weight": {64, 32}}
	s := newSketch("glm-dsa", 3, 64, map[string]any{"nextn_predict_layers": 1, "attention.head_count": 4, "attention.head_count_kv": 1,
		"attention.key_length": 40, "attention.value_length": 32, "attention.key_length_mla": 24, "attention.value_length_mla": 16,
		"attention.kv_lora_rank": 32, "attention.q_lora_rank": 32, "rope.dimension_count": 8, "attention.indexer.types": []int32{1, 0},
		"attention.indexer.head_count": 2, "attention.indexer.key_length": 128, "attention.indexer.top_k": 2048})
	s.layer(0, mla).layer(1, mla).layer(2, mla).layer(2, map[string][]int64{"nextn.eh_proj.weight": {128, 64}})
	m := s.model(t)
	if len(m.Layers) != 2 || len(m.MTPLayers) != 1 {
		t.Fatalf("%d layers and %d NextN layers, want 2 and 1", len(m.Layers), len(m.MTPLayers))
	}
	own := m.Layers[0].Mixers[0].(*model.MLA)
	if own.KVLoRARank != 32 || own.RopeDim != 8 || own.NopeDim != 16 || own.ValDim != 16 || own.QLoRARank != 32 || own.Indexer.Shared || own.Indexer.HeadDim != 128 {
		t.Errorf("layer 0: %+v, indexer %+v", own, own.Indexer)
	}
	if x := m.Layers[1].Mixers[0].(*model.MLA).Indexer; x == nil || !x.Shared {
		t.Errorf("layer 1 owns an indexer: %+v", x)
	}
	if x := m.MTPLayers[0].Mixers[0].(*model.MLA).Indexer; x != nil {
		t.Errorf("the NextN layer has an indexer: %+v", x)
	}
	for i := range m.Tensors {
		if x := &m.Tensors[i]; (x.Layer == 2) != (x.Group == model.MTP) {
			t.Errorf("%s of layer %d is in group %s", x.Name, x.Layer, x.Group)
		}
	}
}

// Old Mixtral files have a tensor for each expert; they are one stack.
func TestSingleExperts(t *testing.T) {
	s := newSketch("llama", 1, 64, map[string]any{"attention.head_count": 4, "expert_count": 4, "expert_used_count": 2})
	s.layer(0, map[string][]int64{"attn_q.weight": {64, 64}, "attn_k.weight": {64, 64}, "attn_v.weight": {64, 64}, "ffn_gate_inp.weight": {64, 4}})
	for e := range 4 {
		for _, n := range []string{"gate", "up"} {
			s.Add(fmt.Sprintf("blk.0.ffn_%s.%d.weight", n, e), ggml.Q8_0, 64, 32)
		}
		s.Add(fmt.Sprintf("blk.0.ffn_down.%d.weight", e), ggml.Q8_0, 32, 64)
	}
	m := s.model(t)
	if f := m.Layers[0].FFN; f.Experts != 4 || f.ExpertWidth != 32 || f.PlainExperts {
		t.Errorf("experts %+v", f)
	}
	stacks := 0
	for i := range m.Tensors {
		if x := &m.Tensors[i]; strings.HasSuffix(x.Name, "_exps.weight") {
			stacks++
			if x.Count != 4 || x.Active != 2 || x.Part != model.Expert || x.Bytes != 4*64*34 {
				t.Errorf("%+v", *x)
			}
		}
	}
	if stacks != 3 {
		t.Errorf("%d stacks, want 3", stacks)
	}
}

// T5's cache is the decoder's; cross attention reads the encoder.
func TestEncoderDecoder(t *testing.T) {
	s := newSketch("t5", 1, 64, map[string]any{"attention.head_count": 4, "attention.key_length": 16, "attention.value_length": 16, "decoder_block_count": 1})
	for _, n := range []string{"dec.blk.0.attn_q", "dec.blk.0.attn_k", "dec.blk.0.attn_v", "dec.blk.0.attn_o", "dec.blk.0.cross_attn_q", "dec.blk.0.cross_attn_k",
		"dec.blk.0.cross_attn_v", "dec.blk.0.cross_attn_o", "enc.blk.0.attn_q", "enc.blk.0.attn_k", "enc.blk.0.attn_v", "enc.blk.0.attn_o"} {
		s.Add(n+".weight", ggml.F16, 64, 64)
	}
	m := s.model(t)
	if got := m.Layers[0].Kind(); got != "full+cross" || !m.EncDec || !m.Causal {
		t.Errorf("layer %s, encoder-decoder %v", got, m.EncDec)
	}
	encoder := 0
	for i := range m.Tensors {
		if m.Tensors[i].Group == model.Encoder {
			encoder++
		}
	}
	if encoder != 4 {
		t.Errorf("%d encoder tensors, want 4", encoder)
	}
}

// An architecture nobody has heard of is described when everything in it is
// plain, and refused by name of what is not.
func TestUnknownArchitecture(t *testing.T) {
	keys := func() map[string]any {
		return map[string]any{"attention.head_count": 4, "attention.head_count_kv": 2, "feed_forward_length": 32}
	}
	m := newSketch("newllm", 1, 64, keys()).attention(0, 64, 32, 32).model(t)
	if a := m.Layers[0].Mixers[0].(*model.Attention); a.KVHeads != 2 || a.KeyDim != 16 || !hasFact(m, "not known") {
		t.Errorf("%+v %v", a, m.Facts)
	}
	with := func(key string, v any) *ggufgen.File {
		k := keys()
		k[key] = v
		return newSketch("newllm", 1, 64, k).attention(0, 64, 32, 32).File
	}
	wantRefused(t, with("attention.sliding_window", 512), model.UnsupportedArchitecture, "newllm.attention.sliding_window")
	wantRefused(t, with("attention.swirl_rank", 8), model.UnsupportedArchitecture, "newllm.attention.swirl_rank")
	odd := newSketch("newllm", 1, 64, keys()).attention(0, 64, 32, 32).layer(0, map[string][]int64{"swirl_mix.weight": {64, 64}})
	wantRefused(t, odd.File, model.UnsupportedArchitecture, "swirl_mix.weight")
	bare := newSketch("newllm", 1, 64, keys()).layer(0, map[string][]int64{"ffn_down.weight": {32, 64}})
	wantRefused(t, bare.File, model.UnsupportedArchitecture, "layer 0")
}

// Keys and tensors that contradict each other are malformed; files of other
// kinds say what they are.
func TestContradictions(t *testing.T) {
	keys := map[string]any{"attention.head_count": 4}
	wantRefused(t, newSketch("llama", 1, 64, keys).attention(0, 64, 32, 64).File, model.MalformedFile, "attn_k.weight", "32 rows")
	wantRefused(t, newSketch("llama", 2, 64, keys).attention(0, 64, 64, 64).File, model.MalformedFile, "layer 1")
	wantRefused(t, newSketch("llama", 1, 64, keys).attention(7, 64, 64, 64).File, model.MalformedFile, "layer 7")
	wantRefused(t, newSketch("llama", 1, 64, nil).attention(0, 64, 64, 64).File, model.MalformedFile, "head_count")
	wantRefused(t, newSketch("gemma3n", 1, 64, keys).attention(0, 64, 64, 64).File, model.MalformedFile, "sliding_window")
	wantRefused(t, newSketch("eagle3", 1, 64, keys).attention(0, 64, 64, 64).File, model.UnsupportedArchitecture, "draft")
	wantRefused(t, newSketch("clip", 1, 64, nil).File, model.UnsupportedArchitecture, "mmproj")
	lora := newSketch("llama", 1, 64, keys).attention(0, 64, 64, 64)
	lora.Set("general.type", "adapter")
	wantRefused(t, lora.File, model.UnsupportedArchitecture, "adapter")
	none := &ggufgen.File{}
	wantRefused(t, none.Add("t", ggml.F32, 1), model.MalformedFile, "general.architecture")
}
