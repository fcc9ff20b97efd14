package llamacpp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// vulkanServer is a real llama-server with a Vulkan device, which may be
// Mesa's that computes on the processor.
func vulkanServer(t *testing.T) string {
	t.Helper()
	path := os.Getenv("HWLEDGER_LLAMA_VULKAN")
	if path == "" && os.Getenv("CI") != "" {
		t.Fatal("HWLEDGER_LLAMA_VULKAN names no llama-server; .ci/llama-server vulkan fetches one")
	}
	if path == "" {
		t.Skip("HWLEDGER_LLAMA_VULKAN names no llama-server; .ci/llama-server vulkan fetches one")
	}
	return path
}

// TestDeviceBuffers starts the real server on a Vulkan device with the first
// layers of well-known models: whatever is on the device, on the host, or on
// the host and computed on the device, every buffer has the planned size.
func TestDeviceBuffers(t *testing.T) {
	server := vulkanServer(t)
	for _, c := range []struct {
		model  string
		layers int64 // on the device
		flags  engine.Flags
	}{
		{"llama-3.1-8b", 99, nil},
		{"llama-3.1-8b", 5, nil}, // rotary frequencies of its own
		{"llama-3.1-8b", 5, engine.Flags{"no_op_offload": true}},
		{"llama-3.1-8b", 0, nil},
		{"qwen3-30b-a3b", 99, engine.Flags{"n_cpu_moe": int64(3)}},
		{"qwen3-30b-a3b", 5, engine.Flags{"flash_attn": false, "n_ctx": int64(1024)}},
		{"gemma-2-9b", 5, nil},
		{"qwen2.5-7b", 5, nil},
	} {
		t.Run(fmt.Sprintf("%s %d %v", c.model, c.layers, c.flags), func(t *testing.T) {
			f := short(t, c.model, 8)
			path := filepath.Join(t.TempDir(), "model.gguf")
			if err := f.WriteSparse(path); err != nil {
				t.Fatal(err)
			}
			memory := engine.Device{Name: "memory", Total: 16 * engine.GiB, Free: 16 * engine.GiB, Usable: 16 * engine.GiB, Kind: engine.Dedicated}
			req := calc.Request{Model: describe(t, f.Header()), Engine: "llama.cpp", Hardware: engine.Hardware{Host: &memory, Devices: []engine.Device{memory}},
				Load: engine.Load{ContextTokens: 8192, Sequences: 1, GPULayers: &c.layers, Flags: c.flags}}
			if n, ok := c.flags["n_ctx"].(int64); ok {
				req.Load.ContextTokens = n
			}
			res, argv := command(t, req, path, freePort(t))
			for _, d := range sizes(t, startUntilReserved(t, server, argv[1:]), res) {
				if off := d.planned - d.logged; off < -printed || off > printed {
					t.Errorf("%s: planned %s, the engine logs %s", d.name, d.planned, d.logged)
				}
			}
		})
	}
}

// printed is what two decimals of a MiB leave open.
const printed = engine.MiB / 100

type size struct {
	name            string
	planned, logged engine.Bytes
}

// sizes puts every kind of buffer of the device, and of the host, beside the
// plan.
func sizes(t *testing.T, log string, res *calc.Result) []size {
	t.Helper()
	r, err := enginelog.Parse(log)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*size{}
	at := func(name string, host bool) *size {
		if host {
			name += " of the host"
		}
		if by[name] == nil {
			by[name] = &size{name: name}
		}
		return by[name]
	}
	for i := range r.Actual {
		a := &r.Actual[i]
		name := a.Category.String()
		if a.Category == engine.Workspace {
			name = strings.ToLower(a.Name)
		}
		at(name, a.Host).logged += a.Bytes
	}
	if by["compute buffer"] == nil || by["compute buffer of the host"] == nil {
		t.Fatalf("the server reserved nothing: %.3000s", log)
	}
	for i := range res.Terms {
		x := &res.Terms[i]
		name := x.Category.String()
		if x.Category == engine.Workspace {
			name = strings.ToLower(x.Name)
		}
		if x.Category != engine.Runtime {
			at(name, len(x.On) == 0).planned += x.Bytes
		}
	}
	var out []size
	for _, s := range by {
		out = append(out, *s)
	}
	return out
}

// short is a model of the recorded shapes with its first layers only, in Q4_0,
// and a vocabulary whose matrices a device with buffers of 128 MiB takes.
func short(t *testing.T, name string, layers int) *ggufgen.File {
	t.Helper()
	text, err := os.ReadFile("../../../internal/ggufgen/shapes.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var shape map[string]any
		if err := json.Unmarshal([]byte(line), &shape); err != nil {
			t.Fatal(err)
		}
		if shape["name"] != name {
			continue
		}
		const vocabulary = 32000
		shape["L"], shape["vocab"] = layers, vocabulary
		raw, err := json.Marshal(shape)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ggufgen.Build(raw)
		if err != nil {
			t.Fatal(err)
		}
		q4, _ := ggml.ByName("Q4_0")
		for i := range f.Tensors {
			if x := &f.Tensors[i]; x.Type == ggml.F16 {
				x.Type = q4
			}
		}
		tokens := make([]string, vocabulary)
		for i := range tokens {
			tokens[i] = fmt.Sprintf("t%06d", i)
		}
		return f.Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", "qwen2").Set("tokenizer.ggml.tokens", tokens).
			Set("tokenizer.ggml.token_type", make([]int32, vocabulary)).Set("tokenizer.ggml.merges", []string{"t 0"})
	}
	t.Fatalf("there is no shape %s", name)
	return nil
}

// startUntilReserved runs the server until it has reserved its compute buffers
// and returns what it printed.
func startUntilReserved(t *testing.T, server string, args []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, server, append(args, "-lv", "4", "--no-warmup")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "sched copies =") {
			break
		}
	}
	cancel()
	_ = cmd.Wait() // it was killed
	return log.String()
}
