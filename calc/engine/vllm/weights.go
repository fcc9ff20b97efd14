package vllm

import (
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// weightSizes is what one rank holds after loading.
type weightSizes struct {
	stored   int64 // the rank's share of the checkpoint's tensors
	padding  int64 // rows that kernels and ranks need beyond those
	absorbed int64 // W_UK and W_UV of MLA, taken out of kv_b_proj
	rotary   int64 // cos/sin tables
	slack    int64 // what the allocator hands out beyond requests
	buffers  int64 // workspaces that loading leaves allocated
}

// total is what vLLM logs as "Model loading took".
func (w weightSizes) total() int64 {
	return w.stored + w.padding + w.absorbed + w.rotary + w.slack + w.buffers
}

// loader sizes the weights of one rank.
type loader struct {
	*settings
	m      *model.Model
	stored []quant.Stored
	stage  *stage
	rocm   bool
	sizes  weightSizes
	alloc  allocator
	fused  [8]int64 // sums of tensors that vLLM loads as one
}

// The matrices that vLLM merges into one allocation.
const (
	fuseNone = iota
	fuseQKV
	fuseGateUp
	fuseExperts
	fuseShared
	fuseLatent
	fuseSmall
)

func fuseOf(name string) int {
	switch name {
	case "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_gate.weight", "attn_qkv.weight":
		return fuseQKV
	case "ffn_gate.weight", "ffn_up.weight":
		return fuseGateUp
	case "ffn_gate_exps.weight", "ffn_up_exps.weight":
		return fuseExperts
	case "ffn_gate_shexp.weight", "ffn_up_shexp.weight":
		return fuseShared
	case "attn_q_a.weight", "attn_kv_a_mqa.weight":
		return fuseLatent
	}
	return fuseNone
}

// load sizes every tensor that the rank holds.
func (s *settings) load(m *model.Model, stored []quant.Stored, st *stage) weightSizes {
	l := loader{settings: s, m: m, stored: stored, stage: st, rocm: s.device != nil && s.device.Vendor == "amd"}
	layer := -1
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Layer != layer {
			l.flush()
			layer = t.Layer
		}
		if copies := l.held(t); copies > 0 {
			l.add(t, &stored[i], copies)
		}
	}
	l.flush()
	l.addAbsorbed()
	l.addRotary()
	l.sizes.slack = l.alloc.used - l.sizes.total()
	if f, ok := s.find(LoadBuffer, Class(s.device), "1"); ok {
		l.sizes.buffers = f.Median * int64(f.Unit)
	}
	return l.sizes
}

// held returns how many copies of the tensor the rank loads.
func (l *loader) held(t *model.Tensor) int64 {
	st := l.stage
	switch {
	case t.Group == model.MTP:
		if l.mtp && st.last && !(t.Part == model.Embedding || t.Part == model.Head) {
			return 1
		}
		return 0
	case t.Group == model.Vision || t.Group == model.Audio:
		return count(st.first && !l.textOnly)
	case t.Group == model.Encoder:
		return count(st.first)
	case t.Layer >= 0:
		return count(t.Layer >= st.layers[0] && t.Layer < st.layers[1])
	case t.Part == model.Head:
		return count(st.last && !l.m.Tied && !l.pooling)
	case t.Part == model.Embedding:
		return count(st.first || l.m.Tied && st.last && !l.pooling)
	}
	return count(st.last)
}

func count(held bool) int64 {
	if held {
		return 1
	}
	return 0
}

// add accounts one tensor.
func (l *loader) add(t *model.Tensor, stored *quant.Stored, copies int64) {
	bytes := stored.Bytes
	plain := !stored.Quantized && t.Part != model.Router && t.Part != model.Vector
	if plain || l.keptByQuantizers(t, stored) {
		// Plain tensors are converted to the run-time dtype.
		bytes = t.Elems() * l.modelSize
	}
	num, den := t.Share(l.tp)
	switch {
	case t.Part == model.Expert && l.ep:
		num, den = ceilDiv(t.Count, l.tp*l.dp), t.Count
	case t.Part == model.Expert:
		num, den = 1, l.tp*l.dp
	case t.Split == model.ByVocab:
		num, den = 1, l.tp
	}
	share := ceilDiv(bytes*num, den) * copies
	l.sizes.stored += share
	padded := l.pad(t, stored, share)
	l.sizes.padding += padded - share
	if f := fuseOf(t.Name); f != fuseNone {
		l.fused[f] += padded
		return
	}
	l.alloc.add(padded)
}

// keptByQuantizers reports what a scheme applied to a model leaves as it is:
// MTP layers, because quantizers work on the transformers class, which has
// none. Checkpoints published in fp8 quantize them, and say so themselves.
func (l *loader) keptByQuantizers(t *model.Tensor, stored *quant.Stored) bool {
	return t.Group == model.MTP && l.m.Quant == nil && !strings.HasPrefix(stored.Type, "F8")
}

// flush allocates the merged tensors of a layer.
func (l *loader) flush() {
	for i, n := range l.fused {
		if n > 0 {
			l.alloc.add(n)
			l.fused[i] = 0
		}
	}
}

// vocabPadding is the multiple to which vLLM pads the vocabulary
// (vocab_parallel_embedding.py).
const vocabPadding = 64

// pad returns share grown to the shape that the rank allocates: vocabulary
// rows to a multiple of 64 that ranks divide, MXFP4 experts to the tiles of
// the kernel (Marlin: width to 128 and hidden to 256; ROCm: both to 256).
func (l *loader) pad(t *model.Tensor, stored *quant.Stored, share int64) int64 {
	switch {
	case t.Split == model.ByVocab && t.Out > 1:
		rows := roundUp(roundUp(t.Out, vocabPadding), l.tp)
		return int64(float64(share) * float64(rows) / float64(t.Out))
	case t.Part == model.Expert && strings.HasPrefix(strings.ToUpper(stored.Type), "MXFP4"):
		return l.padMX(t, share)
	}
	return share
}

// padMX grows an MXFP4 expert matrix to its kernel's tiles
// (quantization/mxfp4.py): Marlin width to 128 and hidden to 256, ROCm both to
// 256, Triton on Hopper width to 64 with scales laid out in twice their size.
func (l *loader) padMX(t *model.Tensor, share int64) int64 {
	ranks := l.tp * l.dp
	if l.ep {
		ranks = 1
	}
	wide, hidden := t.Out, t.In
	if t.Split == model.ByRow {
		wide, hidden = t.In, t.Out
	}
	tileW, tileH, scales := int64(128), int64(256), 1.0
	switch {
	case l.rocm:
		tileW = 256
	case l.hopper() && l.version.atLeast(tritonExperts):
		tileW, tileH, scales = 64, 1, hopperScales
		if l.version.atLeast(tritonHidden) {
			tileH = 128
		}
	}
	w, h := roundUp(ceilDiv(wide, ranks), tileW)*ranks, roundUp(hidden, tileH)
	return int64(float64(share) * float64(w) / float64(wide) * float64(h) / float64(hidden) * scales)
}

// hopper reports a device of compute capability 9.0, which is also what
// defaults are chosen for when no hardware is given.
func (s *settings) hopper() bool { return s.device == nil || s.device.Arch == "9.0" }

// addAbsorbed adds the copies of kv_b_proj by head that absorbed MLA
// multiplies with; kv_b_proj itself stays for prefill.
func (l *loader) addAbsorbed() {
	for _, layer := range l.layersOf(l.m, l.stage.layers, l.stage.last) {
		for _, x := range layer.Mixers {
			if x, ok := x.(*model.MLA); ok {
				heads := x.Heads / l.tp
				for _, dim := range [...]int64{x.NopeDim, x.ValDim} {
					n := heads * x.KVLoRARank * dim * 2
					l.sizes.absorbed += n
					l.alloc.add(n)
				}
			}
		}
	}
}

// addRotary adds the cos/sin tables: one for each distinct rotary embedding,
// of the longest position times the rotary dimensions
// (layers/rotary_embedding).
func (l *loader) addRotary() {
	var seen [4]int64
	n := 0
table:
	for i := l.stage.layers[0]; i < l.stage.layers[1]; i++ {
		for _, x := range l.m.Layers[i].Mixers {
			dim, local := rotaryDim(l.m, x)
			if dim == 0 {
				continue
			}
			key := dim*2 + count(local)
			for _, k := range seen[:n] {
				if k == key {
					continue table
				}
			}
			if n == len(seen) {
				return
			}
			seen[n], n = key, n+1
			bytes := l.positions(local) * dim * l.modelSize
			l.sizes.rotary += bytes
			l.alloc.add(bytes)
		}
	}
}

// rotaryDim returns the rotary dimensions of a mixer's heads, and whether it
// has its own table beside that of the full layers: Gemma 3 and 4 rotate
// sliding layers by another base.
func rotaryDim(m *model.Model, x model.Mixer) (dim int64, local bool) {
	switch x := x.(type) {
	case *model.Attention:
		if x.Cross || m.EncDec {
			return 0, false
		}
		dim = x.KeyDim
		if m.Rope.Dim > 0 && m.Rope.Dim < dim {
			dim = m.Rope.Dim
		}
		return dim, x.Window > 0 && strings.HasPrefix(m.Type, "gemma") && m.Type >= "gemma3"
	case *model.MLA:
		return x.RopeDim, false
	case *model.Compressed:
		return x.RopeDim, false
	}
	return 0, false
}

// positions returns the length of a cos/sin table. Linear and dynamic scaling
// lengthen it by their factor, several position axes by four.
func (l *loader) positions(local bool) int64 {
	n, r := l.m.Context, l.m.Rope
	if local {
		return n
	}
	if (r.Type == "linear" || r.Type == "dynamic") && r.Factor > 1 && r.Factor <= 1<<10 {
		n = int64(float64(n) * r.Factor)
	}
	if r.Axes || multiAxis(l.m) {
		n *= 4
	}
	return n
}

// multiAxis reports the architectures whose positions have several axes even
// where a shortened configuration does not say so.
func multiAxis(m *model.Model) bool {
	for _, p := range [...]string{"Qwen2VL", "Qwen2_5_VL", "Qwen3VL", "Qwen3_5", "Glm4v"} {
		if strings.HasPrefix(m.Architecture, p) {
			return true
		}
	}
	return false
}

// terms returns the weight terms of the stage.
func (w weightSizes) terms(m *model.Model, st *stage, s *settings) []engine.Term {
	conf, from := engine.Derived, "config.json"
	if m.Exact {
		conf, from = engine.Exact, "tensor headers"
	}
	tp := engine.Input{Name: "tensor_parallel", Value: s.tp, From: "argument"}
	all := [...]engine.Term{
		{Name: "weights", Bytes: engine.Bytes(w.stored), Confidence: conf,
			Formula: "Σ tensors of the rank: elements × bits / 8 + scales, ÷ tensor_parallel where the tensor is cut",
			Inputs:  []engine.Input{{Name: "tensors", Value: int64(len(m.Tensors)), From: from}, tp}, Source: "checkpoint layout"},
		{Name: "weight padding", Bytes: engine.Bytes(w.padding), Confidence: engine.Derived,
			Formula: "vocabulary to a multiple of 64 × ranks; expert matrices to kernel tiles", Source: "vllm vocab_parallel_embedding.py, quantization/mxfp4.py"},
		{Name: "absorbed MLA projections", Bytes: engine.Bytes(w.absorbed), Confidence: engine.Derived,
			Formula: "layers × heads / tensor_parallel × kv_lora_rank × (nope + value) × 2", Inputs: []engine.Input{tp}, Source: "vllm attention/layers mla process_weights_after_loading"},
		{Name: "rotary tables", Bytes: engine.Bytes(w.rotary), Confidence: engine.Derived,
			Formula: "positions × rotary dimensions × dtype bytes", Inputs: []engine.Input{{Name: "max_position_embeddings", Value: m.Context, From: from}}, Source: "vllm rotary_embedding"},
		{Name: "allocator rounding", Bytes: engine.Bytes(w.slack), Confidence: engine.Derived,
			Formula: "segment remainders up to 1 MiB that the CUDA caching allocator does not split off", Source: "pytorch CUDACachingAllocator"},
	}
	out := make([]engine.Term, 0, len(all)+1)
	if w.buffers > 0 {
		out = append(out, engine.Term{Name: "load workspace", Category: engine.Weights, On: st.on, Bytes: engine.Bytes(w.buffers),
			Confidence: engine.Measured, Source: calibration.Source, Formula: "what loading leaves allocated on these devices"})
	}
	for _, t := range all {
		if t.Bytes != 0 {
			t.Category, t.On = engine.Weights, st.on
			out = append(out, t)
		}
	}
	return out
}
