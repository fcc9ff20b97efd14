package llamacpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// headers builds the models of the recorded rows from their headers, in the
// types that llama-quantize chose.
type headers struct {
	t         *testing.T
	hyper     map[string]json.RawMessage
	quantized map[string]observed.QuantizeRow
	models    map[string]*model.Model
}

func newHeaders(t *testing.T, hyper map[string]json.RawMessage) *headers {
	t.Helper()
	rows, err := observed.QuantizeReported()
	if err != nil {
		t.Fatal(err)
	}
	h := &headers{t: t, hyper: hyper, quantized: map[string]observed.QuantizeRow{}, models: map[string]*model.Model{}}
	for _, r := range rows {
		h.quantized[r.Model+" "+r.FType] = r
	}
	return h
}

// model returns the model by name in a weight type; nil when the recorded
// quantizations do not have it.
func (h *headers) model(name, weights string) *model.Model {
	h.t.Helper()
	key := name + " " + weights
	if m, ok := h.models[key]; ok {
		return m
	}
	f, err := ggufgen.Build(h.hyper[name])
	if err != nil {
		h.t.Fatal(err)
	}
	if weights != "F16" {
		q, ok := h.quantized[key]
		if !ok {
			h.models[key] = nil
			return nil
		}
		if err := f.Retype(q.TypeOf); err != nil {
			h.t.Fatal(err)
		}
	}
	raw := f.Header()
	head, err := gguf.Parse(bytes.NewReader(raw), int64(len(raw))+f.DataBytes())
	if err != nil {
		h.t.Fatal(name, err)
	}
	m, err := head.Model()
	if err != nil {
		h.t.Fatal(name, err)
	}
	h.models[key] = m
	return m
}

// reportedLoad writes a recorded setting as a load: the recorder used the
// library, whose defaults are neither unified caches nor few logits rows.
func reportedLoad(r *observed.EngineRow) (engine.Load, engine.Hardware) {
	s := &r.Setting
	f := engine.Flags{
		"n_ctx": s.NCtx, "n_parallel": s.NSeqMax, "n_batch": s.NBatch, "n_ubatch": s.NUBatch,
		"n_outputs_max": int64(0), "kv_unified": false, "no_mmap": true, "pipeline_parallel": true,
		"no_op_offload": true, // an RPC device never takes operations of the host's weights over
	}
	switch s.FA {
	case -1:
		f["flash_attn"] = "auto"
	default:
		f["flash_attn"] = s.FA != 0
	}
	on := func(name string, p *int) {
		if p != nil {
			f[name] = *p != 0
		}
	}
	on("kv_unified", s.KVUnified)
	on("swa_full", s.SWAFull)
	on("offload_kqv", s.OffloadKQV)
	if s.MMap != nil {
		f["no_mmap"] = *s.MMap == 0
	}
	number := func(name string, p *int64) {
		if p != nil {
			f[name] = *p
		}
	}
	number("n_outputs_max", s.NOutputsMax)
	number("n_rs_seq", s.NRSSeq)
	text := func(name, v string) {
		if v != "" {
			f[name] = v
		}
	}
	text("tensor_split", s.TensorSplit)
	text("cache_type_k", s.CTK)
	text("cache_type_v", s.CTV)
	if s.Override != "" {
		f["override_tensor"] = s.Override + "=CPU"
	}
	hw := engine.Hardware{Host: &engine.Device{Name: "host"}}
	for range r.Devices {
		hw.Devices = append(hw.Devices, engine.Device{Name: "RPC", Free: engine.GiB})
	}
	load := engine.Load{
		Version: r.Engine, ContextTokens: 4096, Sequences: s.NSeqMax,
		TensorParallel: 1, PipelineParallel: 1, DataParallel: 1, GPULayers: s.NGL, Flags: f,
	}
	return load, hw
}

// reported returns what the engine reported for each backend: devices in the
// order of their ports, the host last, repacked weights with the host's.
func reported(r *observed.EngineRow) []observed.Buffers {
	var names []string
	var host observed.Buffers
	for name, b := range r.Breakdown {
		if strings.HasPrefix(name, "RPC") {
			names = append(names, name)
			continue
		}
		host.Model += b.Model
		host.Context += b.Context
		host.Compute += b.Compute
	}
	sort.Strings(names)
	var out []observed.Buffers
	for _, n := range names {
		out = append(out, r.Breakdown[n])
	}
	return append(out, host)
}

// planned sums a plan's terms in the same way.
func planned(u *engine.Usage, devices int) []observed.Buffers {
	out := make([]observed.Buffers, devices+1)
	for i := range u.Terms {
		t := &u.Terms[i]
		d := devices
		if devices > 0 && len(t.On) > 0 {
			d = t.On[0]
		}
		switch {
		case t.Category == engine.Weights:
			out[d].Model += int64(t.Bytes)
		case t.Category == engine.KVCache || t.Category == engine.State:
			out[d].Context += int64(t.Bytes)
		case t.Name == "Compute buffer":
			out[d].Compute += int64(t.Bytes)
		}
	}
	return out
}

// score counts how close sizes come.
type score struct{ n, exact, in3, in10 int }

func (s *score) add(got, want int64) float64 {
	e := math.Abs(float64(got-want)) / math.Max(1, float64(want))
	s.n++
	if e < 0.0005 {
		s.exact++
	}
	if e <= 0.03 {
		s.in3++
	}
	if e <= 0.10 {
		s.in10++
	}
	return e
}

func (s *score) String() string {
	p := func(n int) float64 { return 100 * float64(n) / float64(max(1, s.n)) }
	return fmt.Sprintf("%d buffers: %.1f %% equal, %.1f %% within 3 %%, %.1f %% within 10 %%", s.n, p(s.exact), p(s.in3), p(s.in10))
}

// TestReported holds every recorded start of llama.cpp against its plan:
// caches and weights on every backend to the byte, compute buffers by score.
func TestReported(t *testing.T) {
	rec, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	h := newHeaders(t, rec.Hyperparameters)
	e := New()
	compute := map[string]*score{}
	rows := 0
	for i := range rec.Rows {
		r := &rec.Rows[i]
		load, hw := reportedLoad(r)
		m := h.model(r.Model, r.Weights)
		if m == nil {
			m, load.Weights = h.model(r.Model, "F16"), r.Weights
		}
		u, err := e.Plan(m, load, hw)
		if r.Error != "" {
			var refusal *model.Error
			if !errors.As(err, &refusal) || refusal.Code != model.InvalidArgument || refusal.Hint == "" {
				t.Errorf("%s %s %+v: the engine refused (%s), the plan says %v", r.Engine, r.Model, r.Setting, r.Error, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s %+v: %v", r.Engine, r.Model, r.Setting, err)
			continue
		}
		rows++
		got, want := planned(u, r.Devices), reported(r)
		for d := range want {
			if got[d].Context != want[d].Context {
				t.Errorf("%s %s %s backend %d: caches %d, the engine has %d", r.Engine, r.Model, setting(r), d, got[d].Context, want[d].Context)
			}
			if !sameWeights(r, got[d].Model, want[d].Model) {
				t.Errorf("%s %s %s %s backend %d: weights %d, the engine has %d", r.Engine, r.Model, r.Weights, setting(r), d, got[d].Model, want[d].Model)
			}
			if want[d].Compute == 0 {
				continue
			}
			s := compute[r.Engine]
			if s == nil {
				s = &score{}
				compute[r.Engine] = s
			}
			if e := s.add(got[d].Compute, want[d].Compute); e > 0.03 {
				t.Logf("%s %s %s backend %d: compute %d, the engine has %d", r.Engine, r.Model, setting(r), d, got[d].Compute, want[d].Compute)
			}
		}
	}
	t.Logf("%d of %d rows planned", rows, len(rec.Rows))
	for version, s := range compute {
		t.Logf("%s compute, %s", version, s)
		if 100*s.in3 < 95*s.n || 100*s.in10 < 99*s.n {
			t.Errorf("%s: compute buffers miss the mark: %s", version, s)
		}
	}
}

// sameWeights compares model buffers. A mapped file has no padding behind its
// last tensor, and which one is last only the recorded file knows: the toy
// models' tensors leave 16 bytes of it, those of real models none.
func sameWeights(r *observed.EngineRow, got, want int64) bool {
	if r.Setting.MMap != nil && *r.Setting.MMap != 0 {
		return got >= want && got-want < hostAlignment
	}
	return got == want
}

// TestWeightsByName plans F16 models in other weight types: the bytes must be
// those of the files that llama-quantize wrote in them.
func TestWeightsByName(t *testing.T) {
	rec, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	h := newHeaders(t, rec.Hyperparameters)
	seen := map[string]bool{}
	for i := range rec.Rows {
		r := &rec.Rows[i]
		key := r.Model + " " + r.Weights
		if r.Weights == "F16" || r.Error != "" || r.Devices > 0 || seen[key] || r.Setting.MMap != nil {
			continue
		}
		seen[key] = true
		load, hw := reportedLoad(r)
		load.Weights = r.Weights
		u, err := New().Plan(h.model(r.Model, "F16"), load, hw)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if got, want := planned(u, 0)[0].Model, reported(r)[0].Model; got != want {
			t.Errorf("%s: weights %d, the engine has %d", key, got, want)
		}
	}
	t.Logf("%d files", len(seen))
}

func setting(r *observed.EngineRow) string {
	var all map[string]any
	b, _ := json.Marshal(r.Setting)
	_ = json.Unmarshal(b, &all)
	for k, v := range all {
		if v == nil || v == "" {
			delete(all, k)
		}
	}
	return fmt.Sprint(all)
}
