package llamacpp

import (
	"strconv"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// planner turns settings into terms.
type planner struct {
	e      *llama
	m      *model.Model
	s      *settings
	load   engine.Load
	hw     engine.Hardware
	u      *engine.Usage
	stored []quant.Stored
	// on holds the device list of each backend, so that terms share them.
	on [][]int
}

func (p *planner) plan() error {
	s := p.s
	n := s.placed.devices
	p.u.Devices = n
	align := make([]int64, n+1)
	p.on = make([][]int, n+1)
	for d := range n {
		align[d] = p.alignment(d)
		p.on[d] = []int{d}
	}
	align[n] = hostAlignment
	if n == 0 {
		// Without an accelerator the processor is the device.
		p.u.Devices = 1
		p.on[0] = []int{0}
	}
	stored, err := storedAs(p.m, p.load.Weights)
	if err != nil {
		return err
	}
	p.stored = stored
	weights, perLayer := s.weigh(p.m, stored, align)
	p.weightTerms(weights)
	p.cacheTerms()
	expected, apart := s.computeBuffers(p.m, stored, align)
	p.computeTerms(expected, apart)
	if !p.s.own {
		p.outputTerm()
	}
	p.runtimeTerms()
	p.hw.Correct(p.e.name, &p.load, p.u.Terms)
	p.summarise(perLayer)
	p.notes()
	return nil
}

// hostAlignment is ggml's tensor alignment in ordinary memory.
const hostAlignment = 32

// alignment returns a device's tensor alignment: 128 on CUDA and ROCm.
func (p *planner) alignment(d int) int64 {
	if d < len(p.hw.Devices) {
		switch p.hw.Devices[d].Vendor {
		case "nvidia", "amd":
			return 128
		}
		return hostAlignment
	}
	return 128
}

func (p *planner) term(dev int, t engine.Term) {
	if t.Bytes == 0 {
		return
	}
	t.On = p.on[dev]
	p.u.Terms = append(p.u.Terms, t)
}

func (p *planner) weightTerms(weights []int64) {
	from := "gguf header"
	conf := engine.Exact
	if !p.m.Exact || p.load.Weights != "" && p.load.Weights != "auto" {
		from, conf = "config.json", engine.Derived
	}
	for d, n := range weights {
		formula := "Σ over the device's tensors of their bytes, each padded to the buffer's alignment"
		if d == p.s.placed.devices {
			formula = "Σ over the host's tensors of their bytes: the embedding and what is not offloaded"
		}
		p.term(d, engine.Term{
			Name: "Weights", Category: engine.Weights, Bytes: engine.Bytes(n), Formula: formula,
			Inputs:     []engine.Input{{Name: "tensors", Value: int64(len(p.m.Tensors)), From: from}},
			Confidence: conf, Source: "llama.cpp src/llama-model.cpp load_tensors",
		})
	}
}

// cacheTerms appends full-attention, sliding-window and recurrent terms.
func (p *planner) cacheTerms() {
	s := p.s
	n := s.placed.devices + 1
	full, swa, state := make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range s.cache {
		d := s.placed.layer(i)
		if !s.offloadKQV {
			d = s.placed.host
		}
		c := &s.cache[i]
		if c.swa {
			swa[d] += c.kv
		} else {
			full[d] += c.kv
		}
		state[d] += c.state
	}
	cells := []engine.Input{
		{Name: "n_ctx_seq", Value: s.nCtxSeq, From: "argument"}, {Name: "streams", Value: s.streams, From: "argument"},
	}
	for d := range n {
		p.term(d, engine.Term{
			Name: "KV cache", Category: engine.KVCache, Bytes: engine.Bytes(full[d]),
			Formula: "streams · n_ctx_seq · Σ layers (row(K, n_head_kv·head_k) + row(V, n_head_kv·head_v))",
			Inputs:  cells, Confidence: engine.Exact, Source: "llama.cpp src/llama-kv-cache.cpp",
		})
		p.term(d, engine.Term{
			Name: "KV cache, sliding window", Category: engine.KVCache, Bytes: engine.Bytes(swa[d]),
			Formula: "streams · pad256(min(n_ctx_seq, window·(unified ? n_seq : 1) + n_ubatch)) · Σ sliding layers (row(K) + row(V))",
			Inputs: []engine.Input{
				{Name: "cells", Value: s.cellsSWA, From: "formula"}, {Name: "n_ubatch", Value: s.nUBatch, From: "argument"}, {Name: "streams", Value: s.streams, From: "argument"},
			},
			Confidence: engine.Exact, Source: "llama.cpp src/llama-kv-cache-iswa.cpp",
		})
		p.term(d, engine.Term{
			Name: "Recurrent state", Category: engine.State, Bytes: engine.Bytes(state[d]),
			Formula: "4 · n_seq · (1 + n_rs_seq) · Σ recurrent layers (n_embd_r + n_embd_s)",
			Inputs: []engine.Input{
				{Name: "n_seq", Value: s.nSeq, From: "argument"}, {Name: "n_rs_seq", Value: s.nRS, From: "argument"},
			},
			Confidence: engine.Exact, Source: "llama.cpp src/llama-memory-recurrent.cpp",
		})
	}
}

// spread is how far real compute buffers were from the plan's, in percent
// below and above, by how much is known of the architecture's graph.
type spread struct{ below, above int64 }

var (
	knownSpread   = spread{2, 3}
	unknownSpread = spread{25, 35}
	deviceSpread  = spread{10, 30}
)

func (p *planner) computeTerms(buffers, apart []int64) {
	s := p.s
	q := quirksOf(p.m.Arch)
	for d, n := range buffers {
		w, conf := knownSpread, engine.Derived
		if d != s.placed.devices {
			w, conf = deviceSpread, engine.Estimated
		}
		if !q.known || s.own && !ownMeasured[p.m.Arch] {
			w, conf = unknownSpread, engine.Estimated
		}
		low, high := min(n, apart[d]), max(n, apart[d])
		p.term(d, engine.Term{
			Name: "Compute buffer", Category: engine.Workspace, Bytes: engine.Bytes(n),
			Low: engine.Bytes(low - low*w.below/100), High: engine.Bytes(high + high*w.above/100),
			Formula: "peak of the graph allocator over a prompt batch of n_ubatch tokens with the whole cache and n_outputs_max logits rows",
			Inputs: []engine.Input{
				{Name: "n_ubatch", Value: s.nUBatch, From: "argument"}, {Name: "n_ctx_seq", Value: s.nCtxSeq, From: "argument"},
				{Name: "n_outputs_max", Value: s.nOutputs, From: "argument"}, {Name: "flash_attn", Value: flag(s.flash), From: "argument"},
			},
			Confidence: conf, Source: "llama.cpp src/llama-context.cpp sched_reserve, ggml/src/ggml-alloc.c",
		})
	}
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// outputTerm appends the logits that the host reads, one row for each
// sequence until a batch asks for more.
func (p *planner) outputTerm() {
	s := p.s
	rows := s.nSeq
	n := 4 * p.m.Vocab * rows
	if s.embeddings {
		n += 4 * p.m.Hidden * rows
	}
	p.term(s.placed.devices, engine.Term{
		Name: "Output buffer", Category: engine.Workspace, Bytes: engine.Bytes(n),
		Formula:    "4 · n_vocab · max(n_seq, outputs)",
		Inputs:     []engine.Input{{Name: "n_vocab", Value: p.m.Vocab, From: "model"}, {Name: "n_seq", Value: s.nSeq, From: "argument"}},
		Confidence: engine.Exact, Source: "llama.cpp src/llama-context.cpp output_reserve",
	})
}

// runtimeTerms appends what the device's driver takes for a process.
func (p *planner) runtimeTerms() {
	for d := range p.s.placed.devices {
		vendor := "nvidia"
		if d < len(p.hw.Devices) {
			vendor = p.hw.Devices[d].Vendor
		}
		t := engine.Term{
			Name: "Device context", Category: engine.Runtime, Bytes: 300 * engine.MiB, Low: 150 * engine.MiB, High: 750 * engine.MiB,
			Formula: "driver context, kernels and library workspaces of one process", Confidence: engine.Measured,
			Source: "llama.cpp logs against nvidia-smi: 152 and 153 MiB on consumer cards, 749 MiB on a workstation card",
		}
		if vendor == "apple" {
			t.Bytes, t.Low, t.High = 50*engine.MiB, 10*engine.MiB, 200*engine.MiB
			t.Confidence, t.Source = engine.Estimated, "Metal command buffers and pipelines"
		}
		p.term(d, t)
	}
}

// summarise fills the cache summary, budgets and per-layer bytes.
func (p *planner) summarise(perLayer []int64) {
	s, u := p.s, p.u
	n := s.placed.devices + 1
	type sum struct{ row, fixed, all int64 }
	by := make([]sum, n)
	u.LayerWeights = make([]engine.Bytes, len(perLayer))
	u.LayerCache = make([]engine.Bytes, len(perLayer))
	for i := range s.cache {
		c := &s.cache[i]
		d := s.placed.layer(i)
		if !s.offloadKQV {
			d = s.placed.host
		}
		if !c.swa || s.swaFull {
			by[d].row += c.row
		}
		by[d].fixed += c.state / s.nSeq
		by[d].all += c.kv + c.state
		u.LayerWeights[i] = engine.Bytes(perLayer[i])
		u.LayerCache[i] = engine.Bytes(c.kv + c.state)
	}
	full := by[0]
	for _, b := range by[1:] {
		if b.all > full.all {
			full = b
		}
	}
	u.Cache = engine.Cache{
		MarginalPerToken: engine.Bytes(full.row), FixedPerSequence: engine.Bytes(full.fixed),
		PerSequence:    engine.Bytes((full.all-full.fixed*s.nSeq)/s.whole + full.fixed),
		CapacityTokens: s.nCtx, MaxConcurrency: float64(s.whole),
	}
	if !caches(p.m) {
		u.Cache.CapacityTokens = 0
	}
	for i := range min(u.Devices, len(p.hw.Devices)) {
		d := &p.hw.Devices[i]
		b := d.Usable
		if b == 0 || d.Free > 0 && d.Free < b {
			b = d.Free
		}
		u.Budgets = append(u.Budgets, b)
	}
}

// notes says what a reader of the figures should know.
func (p *planner) notes() {
	s, u := p.s, p.u
	note := func(t string) { u.Notes = append(u.Notes, t) }
	if !quirksOf(p.m.Arch).known {
		note("the compute buffer of " + p.m.Arch + " follows the plain decoder graph; its own was not measured")
	}
	if s.nCtxSeq > p.m.Context && p.m.Context > 0 {
		note("the context of a sequence (" + strconv.FormatInt(s.nCtxSeq, 10) + ") is longer than the model was trained for (" + strconv.FormatInt(p.m.Context, 10) + ")")
	}
	if s.placed.devices == 0 {
		if s.mmap && s.repack {
			note("weights are mapped from the file; matrices that the processor repacks become anonymous memory of the same size")
		}
		if !s.runner {
			note("llama-server also keeps up to 8 GiB of prompts in memory (--cache-ram) as they come")
		}
	}
	if s.copies() > 1 {
		note("pipeline parallelism keeps 4 copies of every input; -ngl one layer short, or fewer devices, avoids them")
	}
}
