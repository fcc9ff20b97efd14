package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"hwledger/calc/engine"
	"hwledger/ledger"
	"hwledger/probe"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
)

// recordRuns keeps a manager's events in a ledger, as the server does.
type recordRuns struct{ runs *ledger.Runs }

func (r recordRuns) Record(ctx context.Context, e sidecar.Event) error {
	return r.runs.Record(ctx, ledger.RunEvent(e))
}

// An engine that starts here teaches later plans here: of its own model, and of
// others, and which release is installed. The card is a recorded one, the engine
// a real child process that prints vLLM's lines.
func TestLaunchTeachesPlans(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the engine is a shell script on a UNIX socket")
	}
	options, err := filepath.Abs("../testdata/launch_flags/vllm.txt")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "vllm")
	if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nSTAND_IN_VLLM='%s' exec '%s' \"$@\"\n", options, self), 0o700); err != nil {
		t.Fatal(err)
	}
	_, l := withLedger(t)
	card := probe.Device{ID: "GPU-1", UUID: "GPU-1", Vendor: "nvidia", Kind: probe.Dedicated, Name: field("NVIDIA H100 80GB HBM3"), Total: field(int64(81559 << 20)), Reserved: field(int64(469 << 20)), Free: field(int64(80995 << 20)), Capability: field("9.0")}
	opts := fixed(t, []probe.Device{card}, 32<<30)
	opts.Ledger, opts.HasLedger = func(context.Context) (Ledger, error) { return l, nil }, func() bool { return true }
	machine := Machine{opts.Machine}
	m := sidecar.New(sidecar.Options{
		Dir: t.TempDir(), Engines: engines.All(engines.Config{}), Probe: machine, Reader: LogReader{},
		Recorder: recordRuns{&ledger.Runs{Open: func(context.Context) (*ledger.Ledger, error) { return l, nil }}},
	})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	opts.AllowLaunch = true
	opts.Sidecars = &Sidecars{Manager: m, Local: machine.Local, Programs: &sidecar.Programs{Paths: map[string]string{"vllm": program}}}
	s := newSurface(t, opts)

	plan := func(model, hardware string) map[string]TermInfo {
		t.Helper()
		r := ask(t, s, "plan_memory", map[string]any{"model": model, "engine": "vllm", "hardware": hardware, "context_tokens": 8192, "gpu_memory_utilization": 0.95, "detail": "terms"})
		if r.Failed {
			t.Fatal(r.Text)
		}
		p := r.Answer.(*Plan)
		out := map[string]TermInfo{"release": {Source: p.Engine.Version}}
		for _, x := range p.Terms {
			out[x.Name] = x
		}
		for _, a := range p.Engine.Assumed {
			if a.Field == "engine_version" {
				out["release"] = TermInfo{Source: a.Value}
			}
		}
		return out
	}
	const llama, qwen, outside = "catalog:meta-llama/Llama-3.1-8B-Instruct", "catalog:Qwen/Qwen2.5-7B-Instruct", "memory outside PyTorch"
	before := plan(qwen, "local")
	if before[outside].Source == engine.FromHistory || before["release"].Source == "0.19.0" {
		t.Fatalf("%+v", before)
	}
	r := ask(t, s, "launch_sidecar", map[string]any{"model": llama, "engine": "vllm", "context_tokens": 8192, "gpu_memory_utilization": 0.95, "confirm": true})
	if info, ok := r.Answer.(*SidecarInfo); !ok || info.State != sidecar.Ready || info.About.Version != "0.19.0" {
		t.Fatalf("%s", r.Text)
	}
	near := func(got TermInfo, gib float64) bool {
		return got.Source == engine.FromHistory && math.Abs(float64(got.Bytes)-gib*float64(engine.GiB)) < 0.005*float64(engine.GiB)
	}
	same := plan(llama, "local")
	if !near(same[outside], 1.25) || !near(same["CUDA graphs"], 0.91) || same["release"].Source != "0.19.0" {
		t.Errorf("the same model: %+v", same)
	}
	// Of what does not depend on the model another's plan has all.
	other := plan(qwen, "local")
	if !near(other[outside], 1.25) || other["weights"].Source == engine.FromHistory || other["kv cache"].Source == engine.FromHistory {
		t.Errorf("another model: %+v", other)
	}
	if named := plan(qwen, "H100"); named[outside].Source == engine.FromHistory {
		t.Errorf("hardware that is only named: %+v", named[outside])
	}
	// What the next launch is planned with is corrected, and what it teaches is
	// not: the rules' figures are beside what it took.
	if r := ask(t, s, "launch_sidecar", map[string]any{"model": llama, "engine": "vllm", "context_tokens": 8192, "gpu_memory_utilization": 0.95, "confirm": true, "force": true}); r.Failed {
		t.Fatal(r.Text)
	}
	page, err := l.Query(t.Context(), ledger.Query{Type: "measurement", Limit: 10})
	if err != nil || len(page.Events) != 2 {
		t.Fatalf("%d events, %v", len(page.Events), err)
	}
	first, second := starts(page.Events[1].Payload), starts(page.Events[0].Payload)
	if len(first) < 3 || !slices.Equal(first, second) {
		t.Errorf("first %+v, then %+v", first, second)
	}
	if predictions := measuredTotals(t, l); len(predictions) != 2 || predictions[1] >= predictions[0] {
		t.Errorf("off by %v bytes", predictions)
	}
}

// measuredTotals is how far each prediction of memory beside weights and cache
// was off.
func measuredTotals(t *testing.T, l *ledger.Ledger) (off []int64) {
	t.Helper()
	page, err := l.Query(t.Context(), ledger.Query{Type: "measurement", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range slices.Backward(page.Events) {
		var m struct {
			Figures []struct {
				Name      string `json:"name"`
				Bytes     int64  `json:"bytes"`
				Predicted int64  `json:"predicted_bytes"`
			} `json:"figures"`
		}
		if err := json.Unmarshal(page.Events[i].Payload, &m); err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for _, f := range m.Figures {
			if f.Name == "workspace" || f.Name == "runtime" {
				sum += max(f.Bytes-f.Predicted, f.Predicted-f.Bytes)
			}
		}
		off = append(off, sum)
	}
	return off
}
