//go:build unix

package sidecar_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/internal/ollamarun"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
)

// ollamaManager is a manager with Ollama at url as its daemon.
func ollamaManager(t *testing.T, url, dir string, rec sidecar.Recorder) *sidecar.Manager {
	t.Helper()
	m := sidecar.New(sidecar.Options{Dir: dir, Engines: engines.All(engines.Config{OllamaURL: url}), Recorder: rec, Reader: reader{}})
	t.Cleanup(func() { m.Close() })
	return m
}

// launchIn launches and waits for the end of the start.
func launchIn(t *testing.T, m *sidecar.Manager, spec sidecar.Spec) *sidecar.Status {
	t.Helper()
	spec.Engine = "ollama"
	st, err := m.Launch(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if st, err = m.Wait(ctx, st.ID, nil); err != nil {
		t.Fatal(err)
	}
	return st
}

// ollamaPlan plans a file under the release that runs.
func ollamaPlan(t *testing.T, file []byte, release string, load engine.Load) *calc.Result {
	t.Helper()
	h, err := gguf.Parse(bytes.NewReader(file), -1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Model()
	if err != nil {
		t.Fatal(err)
	}
	load.Version = release
	res, err := calc.Plan(calc.Request{Model: m, Engine: "ollama", Load: load,
		Hardware: engine.Hardware{Host: &engine.Device{Name: "host", Total: engine.GiB, Free: engine.GiB, Usable: engine.GiB}}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestOllama takes a model through its life in a real daemon, by either form of
// its name: a call does not load it again, in the end it is gone, and the daemon
// outlives it.
func TestOllama(t *testing.T) {
	file, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	s := ollamarun.Start(t)
	s.Create("tiny", file)
	rec := &recorder{}
	m := ollamaManager(t, s.URL, t.TempDir(), rec)
	for _, name := range []string{"tiny", "tiny:latest"} {
		starts := s.Starts()
		st := launchIn(t, m, sidecar.Spec{Name: "it", Model: name, Version: s.Version(), ContextTokens: 1024, Sequences: 1})
		if st.State != sidecar.Ready {
			t.Fatalf("%s: %+v %+v\n%s", name, st, st.Failure, s.Log())
		}
		// This release only adds up what it expects: no measurement of the whole.
		if figure(st.Measured, "required") >= 0 || figure(st.Measured, "required by the daemon's own count") <= 0 {
			t.Errorf("%s: measured %+v", name, st.Measured)
		}
		for _, q := range []sidecar.Call{{Prompt: "hello", MaxTokens: 4}, {Messages: []sidecar.Message{{Role: "user", Content: "hi"}}, MaxTokens: 4}} {
			var pieces []string
			r, err := m.Call(t.Context(), "it", q, func(s string) { pieces = append(pieces, s) })
			if err != nil || r.CompletionTokens != 4 || r.FinishReason != "length" || r.PromptTokens == 0 || r.PerSecond <= 0 || strings.Join(pieces, "") != r.Text {
				t.Errorf("%s: %v: %+v from %q", name, err, r, pieces)
			}
		}
		held := s.Held()
		if len(held) != 1 || held[0].Context != 1024 || held[0].Model != "tiny:latest" || time.Until(held[0].Expires) < 24*time.Hour {
			t.Errorf("%s: after the calls it holds %+v", name, held)
		}
		if n := s.Starts() - starts; n != 1 {
			t.Errorf("%s: it was loaded %d times\n%s", name, n, s.Log())
		}
		if st, err := m.Stop(t.Context(), "it"); err != nil || st.State != sidecar.Stopped || len(s.Held()) != 0 {
			t.Errorf("%s: %v: %+v, and %+v is held", name, err, st, s.Held())
		}
		if s.Version() == "" {
			t.Error("the daemon does not run any more")
		}
	}
	if got, want := rec.types(), strings.TrimSpace(strings.Repeat("prediction launch measurement timing timing timing exit ", 2)); got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestOllamaTheirs: what somebody else has loaded is used as it is, and left.
func TestOllamaTheirs(t *testing.T) {
	file, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	s := ollamarun.Start(t)
	s.Create("tiny", file)
	m := ollamaManager(t, s.URL, t.TempDir(), nil)
	for _, c := range []struct {
		asked, held int64
		loads       int
	}{{512, 1024, 0}, {2048, 2048, 1}} {
		s.Load("tiny", 1024, "10m")
		before := s.Starts()
		st := launchIn(t, m, sidecar.Spec{Name: "it", Model: "tiny", ContextTokens: c.asked, Sequences: 1})
		if st.State != sidecar.Ready {
			t.Fatalf("%+v %+v\n%s", st, st.Failure, s.Log())
		}
		if _, err := m.Call(t.Context(), "it", sidecar.Call{Prompt: "x", MaxTokens: 2}, nil); err != nil {
			t.Error(err)
		}
		if _, err := m.Stop(t.Context(), "it"); err != nil {
			t.Error(err)
		}
		held := s.Held()
		if len(held) != 1 || held[0].Context != c.held || time.Until(held[0].Expires) > time.Hour || s.Starts()-before != c.loads {
			t.Errorf("asked for %d: %+v, loaded %d times", c.asked, held, s.Starts()-before)
		}
	}
}

// TestOllamaFailures: what goes wrong is said as what it is.
func TestOllamaFailures(t *testing.T) {
	file, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	s := ollamarun.Start(t)
	s.Create("tiny", file)
	s.Create("vast", bytes.Replace(file, []byte("llama.context_length\x04\x00\x00\x00\x00\x08\x00\x00"), []byte("llama.context_length\x04\x00\x00\x00\x00\x00\x00\x7f"), 1))
	m := ollamaManager(t, s.URL, t.TempDir(), nil)
	for _, c := range []struct {
		model, kind, cause string
		context            int64
	}{
		{"absent", sidecar.BadModel, "not found", 1024}, {"vast", sidecar.OutOfMemory, "memory", 0x7f000000},
	} {
		st := launchIn(t, m, sidecar.Spec{Model: c.model, ContextTokens: c.context, Sequences: 1, Force: true})
		if st.State != sidecar.Failed || st.Failure.Kind != c.kind || !strings.Contains(st.Failure.Cause, c.cause) || !st.Failure.Permanent {
			t.Errorf("%s: %+v %+v\n%s", c.model, st, st.Failure, s.Log())
		}
	}
	s.Ask(http.MethodGet, "/api/version", nil, nil)
	s.Stop()
	st := launchIn(t, m, sidecar.Spec{Model: "tiny", ContextTokens: 1024})
	if st.State != sidecar.Failed || !strings.Contains(st.Failure.Cause, "asking the daemon") {
		t.Errorf("%+v", st.Failure)
	}
}

// TestOllamaMemory: what the runner of a real Ollama takes is what was planned
// for its release, whichever of its engines that is: llama.cpp's buffers as far
// as its log tells, with two decimals of a MiB, and the sum of its own engine's
// to the byte.
func TestOllamaMemory(t *testing.T) {
	const (
		llama = `{"name":"m","arch":"llama","L":3,"d":256,"ff":512,"h":8,"kv":4,"vocab":4096,"ctx":8192}`
		qwen3 = `{"name":"m","arch":"qwen3","L":3,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":8192}`
		gemma = `{"name":"m","arch":"gemma3","L":7,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":32768,"win":512,"tied":true}`
		oss   = `{"name":"m","arch":"gpt-oss","L":4,"d":256,"ff":256,"ffe":256,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":32768,"win":128,"E":8,"k":2,"extra":{"rope.scaling.type":"yarn","rope.scaling.factor":32.0,"rope.scaling.original_context_length":4096}}`
	)
	parallel := func(n string) []string { return []string{"OLLAMA_NUM_PARALLEL=" + n} }
	for name, c := range map[string]struct {
		shape string
		own   bool
		env   []string
		load  engine.Load
	}{
		"plain":               {llama, false, nil, engine.Load{ContextTokens: 2048}},
		"three sequences":     {llama, false, parallel("3"), engine.Load{ContextTokens: 700, Sequences: 3}},
		"short context":       {llama, false, parallel("4"), engine.Load{ContextTokens: 256, Sequences: 4}},
		"quantized cache":     {llama, false, []string{"OLLAMA_KV_CACHE_TYPE=q8_0", "OLLAMA_FLASH_ATTENTION=1"}, engine.Load{ContextTokens: 2048, KVCacheType: "q8_0"}},
		"no flash attention":  {llama, false, []string{"OLLAMA_FLASH_ATTENTION=0"}, engine.Load{ContextTokens: 2048, Flags: engine.Flags{"flash_attn": false}}},
		"small batch":         {llama, false, nil, engine.Load{ContextTokens: 2048, BatchTokens: 128}},
		"large batch":         {llama, false, nil, engine.Load{ContextTokens: 4096, BatchTokens: 1024}},
		"longer than trained": {llama, false, nil, engine.Load{ContextTokens: 10000}},
		"sliding windows":     {`{"name":"m","arch":"gemma2","L":4,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":8192,"win":512,"tied":true,"extra":{"attn_logit_softcapping":50.0,"final_logit_softcapping":30.0}}`, false, nil, engine.Load{ContextTokens: 4096}},
		"qwen2":               {`{"name":"m","arch":"qwen2","L":3,"d":256,"ff":512,"h":8,"kv":4,"vocab":4096,"ctx":8192}`, false, nil, engine.Load{ContextTokens: 2048}},

		"own engine":                  {qwen3, true, nil, engine.Load{ContextTokens: 2048}},
		"own engine, three sequences": {qwen3, true, parallel("3"), engine.Load{ContextTokens: 700, Sequences: 3}},
		"own engine, experts":         {`{"name":"m","arch":"qwen3moe","L":3,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":8192,"E":8,"k":2,"ffe":128}`, true, nil, engine.Load{ContextTokens: 8192}},
		"own engine, windows":         {gemma, true, nil, engine.Load{ContextTokens: 8192}},
		"own engine, two of them":     {gemma, true, parallel("2"), engine.Load{ContextTokens: 8192, Sequences: 2}},
		"own engine, gpt-oss":         {oss, true, nil, engine.Load{ContextTokens: 8192}},
		"own engine, two of gpt-oss":  {oss, true, parallel("2"), engine.Load{ContextTokens: 8192, Sequences: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := ggufgen.Runnable(c.shape)
			if err != nil {
				t.Fatal(err)
			}
			s := ollamarun.Start(t, c.env...)
			s.Create("m", file)
			res := ollamaPlan(t, file, s.Version(), c.load)
			m := ollamaManager(t, s.URL, t.TempDir(), nil)
			st := launchIn(t, m, sidecar.Spec{Model: "m", ContextTokens: c.load.ContextTokens, BatchTokens: c.load.BatchTokens})
			if st.State != sidecar.Ready {
				t.Fatalf("%+v\n%s", st.Failure, s.Log())
			}
			if own := strings.Contains(s.Log(), "runner --ollama-engine --model"); own != c.own {
				t.Fatalf("it runs in an engine of Ollama's own: %v\n%s", own, s.Log())
			}
			if held := s.Held(); c.own && (len(held) != 1 || held[0].Size != int64(res.Totals.Required)) {
				t.Errorf("%+v, planned were %d: %d weights, %d cache, %d compute buffer", held, res.Totals.Required, res.Totals.Weights, res.Totals.KVCache, res.Totals.Workspace)
			}
			r, err := enginelog.Parse(s.Log())
			if err != nil {
				t.Fatal(err)
			}
			rows := r.Compare(res)
			if len(rows) < 4 {
				t.Errorf("the log tells %+v", rows)
			}
			for _, d := range rows {
				slack := engine.MiB * 6 / 1000
				switch {
				case c.own:
					slack = engine.MiB / 19 // one decimal
				case d.Name == "total":
					slack *= 4
				}
				if off := d.Actual - d.Predicted; !d.Known || off > slack || -off > slack {
					t.Errorf("%s\n%s", d.String(), s.Log())
				}
			}
		})
	}
}
