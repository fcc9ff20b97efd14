//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/internal/ggufgen"
	"hwledger/internal/ollamarun"
)

// caller runs the tools of a server that knows one Ollama, each call in a
// server of its own. It returns the answer, or what is wrong.
func caller(t *testing.T, s *ollamarun.Server, args ...string) func(...string) (map[string]any, string) {
	t.Helper()
	vars := map[string]string{"HWLEDGER_HOME": t.TempDir(), "OLLAMA_HOST": s.URL, "OLLAMA_MODELS": s.Store}
	for name, v := range vars { // the lookup reads the process's own
		t.Setenv(name, v)
	}
	return func(words ...string) (map[string]any, string) {
		t.Helper()
		code, out, errs := try(t, "", vars, false, append(append([]string{"call", "--allow-launch"}, args...), words...)...)
		var got map[string]any
		if code != exitOK {
			return nil, out + errs
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v: %v: %s", words, err, out)
		}
		return got, ""
	}
}

// ollamaWithTiny is a real Ollama that has a model which runs.
func ollamaWithTiny(t *testing.T) (*ollamarun.Server, string) {
	t.Helper()
	s := ollamarun.Start(t)
	file, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Create("tiny", file)
}

// A model of a real Ollama goes through its life from one process to the next:
// planned for the release that runs, launched, called without being loaded
// again, and unloaded; the ledger has it all.
func TestCallOllama(t *testing.T) {
	s, blob := ollamaWithTiny(t)
	try := caller(t, s)
	call := func(words ...string) map[string]any {
		t.Helper()
		got, wrong := try(words...)
		if wrong != "" {
			t.Fatalf("%v: %s\n%s", words, wrong, s.Log())
		}
		return got
	}
	found := call("lookup_model", "model=ollama:tiny")
	if raw, _ := json.Marshal(found); !strings.Contains(string(raw), `"ollama:tiny:latest"`) || !strings.Contains(string(raw), filepath.Base(blob)) {
		t.Errorf("%s", raw)
	}
	launched := call("launch_sidecar", "model=ollama:tiny", "engine=ollama", "context_tokens=1024", "lifetime=detached", "confirm=true", "name=one")
	id, _ := launched["id"].(string)
	if launched["state"] != "ready" || id == "" {
		t.Fatalf("%v\n%s", launched, s.Log())
	}
	if about, _ := json.Marshal(launched); !strings.Contains(string(about), "reserves logits for the whole batch") {
		t.Errorf("it was not planned for %s: %s", s.Version(), about)
	}
	starts := s.Starts()
	got := call("call_sidecar", "id=one", `messages=[{"role":"user","content":"hello"}]`, "max_tokens=3")
	if usage, _ := got["usage"].(map[string]any); usage["completion_tokens"] != 3.0 {
		t.Errorf("%v", got)
	}
	if held := s.Held(); len(held) != 1 || held[0].Context != 1024 || s.Starts() != starts {
		t.Errorf("the call had it loaded again: %+v", held)
	}
	explained := call("explain_memory", "model=ollama:tiny", "log="+s.Log())
	if explained["engine"] != "ollama" || explained["engine_version"] != s.Version() {
		t.Errorf("%v of %v", explained["engine"], explained["engine_version"])
	}
	for _, d := range explained["differences"].([]any) {
		if d := d.(map[string]any); d["within"] != true {
			t.Errorf("%v", d["text"])
		}
	}
	if n := len(explained["differences"].([]any)); n < 5 {
		t.Errorf("the log tells %d figures: %v", n, explained)
	}
	if got := call("stop_sidecar", "id=one"); got["state"] != "stopped" || len(s.Held()) != 0 {
		t.Errorf("%v, and %+v is held", got, s.Held())
	}
	var types []string
	for _, e := range call("query_ledger", "subject="+id)["events"].([]any) {
		types = append(types, e.(map[string]any)["type"].(string))
	}
	slices.Reverse(types)
	if got := strings.Join(types, " "); got != "prediction launch measurement timing timing exit" {
		t.Errorf("the ledger has %s", got)
	}
	for model, want := range map[string]string{"ollama:absent": "MODEL_NOT_FOUND", "ollama:../x": "INVALID_ARGUMENT"} {
		if _, wrong := try("launch_sidecar", "model="+model, "engine=ollama", "confirm=true"); !strings.Contains(strings.ToUpper(wrong), want) {
			t.Errorf("%s: %s", model, wrong)
		}
	}
	s.Stop()
	if _, wrong := try("launch_sidecar", "model=ollama:tiny", "engine=ollama", "confirm=true"); !strings.Contains(wrong, "ollama does not answer at "+s.URL) {
		t.Errorf("%s", wrong)
	}
}

// llama-server opens the file of a model in Ollama's store.
func TestOllamaBlobInLlamaServer(t *testing.T) {
	server := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if server == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	s, blob := ollamaWithTiny(t)
	try := caller(t, s, "--engine-path", "llama-server="+server)
	launched, wrong := try("launch_sidecar", "model=ollama:tiny", "engine=llama.cpp", "context_tokens=512", "lifetime=detached", "confirm=true", "name=two")
	if launched["state"] != "ready" {
		t.Fatalf("%v %s", launched, wrong)
	}
	defer func() {
		if got, wrong := try("stop_sidecar", "id=two"); got["state"] != "stopped" {
			t.Errorf("%v %s", got, wrong)
		}
	}()
	if raw, _ := json.Marshal(launched); !strings.Contains(string(raw), filepath.Base(blob)) {
		t.Errorf("%s", raw)
	}
	got, wrong := try("call_sidecar", "id=two", "prompt=hello", "max_tokens=3")
	if usage, _ := got["usage"].(map[string]any); usage["completion_tokens"] != 3.0 {
		t.Errorf("%v %s", got, wrong)
	}
}
