package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hwledger/internal/ggufgen"
	"hwledger/sidecar/proc"
)

// tinyModel writes a model that the real llama-server runs, and names that.
func tinyModel(t *testing.T) (dir, path, server string) {
	t.Helper()
	if server = os.Getenv("HWLEDGER_LLAMA_SERVER"); server == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	path = filepath.Join(dir, "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, path, server
}

// A detached sidecar goes from one process to the next: each command here is a
// server of its own. In the end the ledger has all that happened, intact, with
// what was measured beside what was predicted.
func TestCallSidecars(t *testing.T) {
	dir, path, server := tinyModel(t)
	vars := map[string]string{"HWLEDGER_HOME": t.TempDir()}
	call := func(args ...string) map[string]any {
		t.Helper()
		code, out, errs := try(t, "", vars, false, append([]string{"call", "--allow-launch", "--model-root", dir, "--engine-path", "llama-server=" + server}, args...)...)
		var got map[string]any
		if json.Unmarshal([]byte(out), &got) != nil || code != exitOK {
			t.Fatalf("%v: code %d: %s%s", args, code, out, errs)
		}
		return got
	}
	launched := call("launch_sidecar", "model="+path, "context_tokens=512", "lifetime=detached", "confirm=true", "name=one")
	id, _ := launched["id"].(string)
	if launched["state"] != "ready" || id == "" {
		t.Fatalf("%v", launched)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		if got := call("stop_sidecar", "id=one"); got["state"] != "stopped" {
			t.Errorf("%v", got)
		}
		if left := call("list_sidecars")["sidecars"].([]any); len(left) != 0 {
			t.Errorf("%v are left", left)
		}
	}
	defer stop()
	if got := call("get_sidecar", "id="+id, "wait=true"); got["state"] != "ready" || len(got["measured"].([]any)) == 0 {
		t.Errorf("%v", got)
	}
	got := call("call_sidecar", "id=one", "prompt=hello", "max_tokens=3")
	if usage, _ := got["usage"].(map[string]any); usage["completion_tokens"] != 3.0 {
		t.Errorf("%v", got)
	}
	stop()
	var types []string
	for _, e := range call("query_ledger", "subject="+id)["events"].([]any) {
		types = append(types, e.(map[string]any)["type"].(string))
	}
	slices.Reverse(types)
	if got := strings.Join(types, " "); got != "prediction launch measurement timing timing exit" {
		t.Errorf("the ledger has %s", got)
	}
	if got := call("verify_ledger"); got["ok"] != true || got["size"] != float64(len(types)) {
		t.Errorf("%v", got)
	}
	// What it took is in later plans for this machine.
	corrected := false
	for _, x := range call("plan_memory", "model="+path, "context_tokens=1024", "hardware=local", "detail=terms")["terms"].([]any) {
		x := x.(map[string]any)
		corrected = corrected || x["name"] == "Compute buffer" && x["source"] == "starts on this machine, in its ledger"
	}
	if !corrected {
		t.Error("the next plan does not go by what was measured")
	}
	totals, _ := call("report_usage")["totals"].(map[string]any)
	if off, known := totals["max_absolute_error_percent"].(float64); totals["predictions_measured"] != 1.0 || !known || off > 3 {
		t.Errorf("%v", totals)
	}
}

// Without the switch nothing can be started, and the words after the tool's
// name are its arguments.
func TestLaunchNotAllowed(t *testing.T) {
	vars := map[string]string{"HWLEDGER_HOME": t.TempDir()}
	for _, tool := range []string{"launch_sidecar", "call_sidecar", "stop_sidecar"} {
		if code, _, errs := try(t, "", vars, false, "call", tool, "--allow-launch"); code != exitUsage || !strings.Contains(errs, "no tool") {
			t.Errorf("%s: code %d: %s", tool, code, errs)
		}
	}
	if code, out, errs := try(t, "", vars, false, "call", "list_sidecars"); code != exitOK || !strings.Contains(out, `"sidecars": []`) {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	if entries, err := os.ReadDir(vars["HWLEDGER_HOME"]); err != nil || len(entries) > 0 {
		t.Errorf("%v: looking made files: %v", err, entries)
	}
	for _, args := range [][]string{{"--engine-path", "x"}, {"--allow-lunch"}} {
		if code, _, _ := try(t, "", vars, false, append([]string{"call"}, args...)...); code != exitUsage {
			t.Errorf("%v: code %d", args, code)
		}
	}
}

func TestOllamaURL(t *testing.T) {
	for host, want := range map[string]string{
		"": "", "http://box:1": "http://box:1", "box": "http://box:11434", "127.0.0.1:5": "http://127.0.0.1:5", "0.0.0.0:11434": "http://127.0.0.1:11434", "0.0.0.0": "http://127.0.0.1:11434",
	} {
		if got := ollamaURL(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

// However the server ends, its session sidecars end with it: at the end of its
// input, when it is asked to, and when it is killed.
func TestServeEndsSidecars(t *testing.T) {
	dir, path, server := tinyModel(t)
	for name, end := range map[string]func(*session){
		"end of input": func(s *session) { s.end() },
		"asked to":     func(s *session) { _ = s.cmd.Process.Signal(syscall.SIGTERM); _ = s.cmd.Wait() },
		"killed":       func(s *session) { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			env := append(os.Environ(), "HWLEDGER_HOME="+t.TempDir())
			s := startWith(t, env, "--log-level", "warn", "--allow-launch", "--model-root", dir, "--engine-path", "llama-server="+server)
			s.send(hello)
			s.receive()
			s.send(toolCall(1, "launch_sidecar", fmt.Sprintf(`{"model":%q,"context_tokens":512,"confirm":true}`, path)))
			var got struct {
				StructuredContent struct {
					State string
					About struct{ PID int }
				}
			}
			m := s.receive()
			if err := json.Unmarshal(m.Result, &got); err != nil || got.StructuredContent.State != "ready" {
				t.Fatalf("%v: %s", err, m.Result)
			}
			pid := got.StructuredContent.About.PID
			if _, err := proc.Identify(pid); err != nil {
				t.Fatalf("it does not run: %v", err)
			}
			end(s)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for late := time.After(10 * time.Second); ; {
				if _, err := proc.Identify(pid); err != nil {
					return
				}
				select {
				case <-tick.C: // the kernel tells only a parent
				case <-late:
					t.Fatal("the engine outlives its server")
				}
			}
		})
	}
}
