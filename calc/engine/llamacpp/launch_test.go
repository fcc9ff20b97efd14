package llamacpp_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// llamaServer is the real program that .ci/llama-server fetched.
func llamaServer(t *testing.T) string {
	t.Helper()
	path := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if path == "" && os.Getenv("CI") != "" {
		t.Fatal("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	if path == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	return path
}

// tiny writes a model that runs and describes it.
func tiny(t *testing.T) (string, *model.Model) {
	t.Helper()
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, describe(t, b)
}

func describe(t *testing.T, header []byte) *model.Model {
	t.Helper()
	h, err := gguf.Parse(bytes.NewReader(header), -1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func command(t *testing.T, req calc.Request, ref string, port int) (*calc.Result, []string) {
	t.Helper()
	res, err := calc.Plan(req)
	if err != nil {
		t.Fatal(err)
	}
	c, err := calc.Launch(req, res, ref, calc.Endpoint{Host: "127.0.0.1", Port: port})
	if err != nil {
		t.Fatal(err)
	}
	return res, c.Argv
}

// TestCommandIsAccepted: whatever is planned, the real llama-server knows
// every option of the command.
func TestCommandIsAccepted(t *testing.T) {
	server := llamaServer(t)
	f, err := ggufgen.Build([]byte(`{"name":"small","arch":"qwen3moe","L":3,"d":512,"ff":1024,"h":8,"kv":4,"hd":64,"vocab":1000,"ctx":8192,"E":8,"k":2,"ffe":256}`))
	if err != nil {
		t.Fatal(err)
	}
	m := describe(t, f.Header())
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(s ...any) any { return s[r.IntN(len(s))] }
	for range 60 {
		layers := r.Int64N(4)
		load := engine.Load{ContextTokens: 1 + r.Int64N(5000), Sequences: 1 + r.Int64N(5), GPULayers: &layers, CPUMoELayers: r.Int64N(3), Flags: engine.Flags{}}
		for _, f := range []struct {
			name string
			v    any
		}{
			{"cache_type_k", pick("f16", "q8_0", "q4_0", "bf16")}, {"swa_full", pick(true, false)}, {"kv_unified", pick(true, false)},
			{"n_batch", int64(32 + r.IntN(2000))}, {"n_ubatch", int64(16 + r.IntN(500))}, {"no_repack", pick(true, false)},
			{"no_op_offload", pick(true, false)}, {"no_kv_offload", pick(true, false)}, {"no_mmap", pick(true, false)}, {"embeddings", pick(true, false)}, {"tensor_split", pick("3,1", "1,1,1")},
			{"override_tensor", pick("", "blk\\.1\\.ffn_.*=CPU")}, {"split_mode", pick("layer", "none", "row")},
		} {
			if r.IntN(2) == 0 {
				load.Flags[f.name] = f.v
			}
		}
		hw := engine.Hardware{}
		for range r.IntN(3) {
			hw.Devices = append(hw.Devices, engine.Device{Name: "card", Vendor: "nvidia", Total: engine.GiB, Free: engine.GiB, Usable: engine.GiB})
		}
		_, argv := command(t, calc.Request{Model: m, Engine: "llama.cpp", Load: load, Hardware: hw}, "/nowhere/model.gguf", freePort(t))
		out, err := exec.Command(server, argv[1:]...).CombinedOutput()
		if err == nil {
			t.Fatalf("%v: it started without a model", argv)
		}
		if regexp.MustCompile(`(?i)invalid argument|unknown argument|error while handling argument|unknown value|invalid value`).Match(out) || !strings.Contains(string(out), "nowhere") {
			t.Errorf("%v: %.600s", argv, out)
		}
	}
}

// TestCommandDoesWhatWasPlanned starts the real server with an exported
// command: its slots and contexts are the planned ones, and the buffers
// that it logs have the planned sizes.
func TestCommandDoesWhatWasPlanned(t *testing.T) {
	server := llamaServer(t)
	path, m := tiny(t)
	port := freePort(t)
	res, argv := command(t, calc.Request{Model: m, Engine: "llama.cpp", Load: engine.Load{ContextTokens: 1024, Sequences: 3},
		Hardware: engine.Hardware{Host: &engine.Device{Name: "host", Total: engine.GiB, Free: engine.GiB, Usable: engine.GiB}}}, path, port)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, server, append(argv[1:], "-lv", "4")...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	props := await(ctx, t, "http://127.0.0.1:"+strconv.Itoa(port)+"/props")
	cancel()
	_ = cmd.Wait() // it was killed
	for _, want := range []string{`"total_slots":3`, `"n_ctx":1024`} {
		if !strings.Contains(strings.ReplaceAll(props, " ", ""), want) {
			t.Errorf("/props lacks %s: %.600s", want, props)
		}
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	report, err := enginelog.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if load := report.Load(engine.Load{}); report.Engine != "llama.cpp" || load.ContextTokens != 1024 || load.Sequences != 3 || report.Failure != nil {
		t.Errorf("its log was read as %+v", report)
	}
	seen := map[string]bool{}
	for _, d := range report.Compare(res) {
		seen[d.Name] = true
		if !d.Within() {
			t.Errorf("%s: the server logs %s, planned were %s", d.Name, d.Actual, d.Predicted)
		}
		if d.Name == "KV cache" && d.Actual != d.Predicted {
			t.Errorf("the server logs a cache of %d bytes, planned were %d", d.Actual, d.Predicted)
		}
	}
	if !seen["weights"] || !seen["KV cache"] || !seen["compute buffer"] {
		t.Errorf("read only %v of the log", seen)
	}
}

// freePort is a port that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// await asks until the server answers, or ctx ends.
func await(ctx context.Context, t *testing.T, address string) string {
	t.Helper()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				tick.Stop()
				return string(b)
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("the server did not answer")
		case <-tick.C:
		}
	}
}
