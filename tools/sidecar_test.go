package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/internal/ggufgen"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
	"hwledger/sidecar/helpers"
)

// freeHost is a probe of a machine without devices.
type freeHost int64

func (f freeHost) Pools(context.Context) ([]sidecar.Pool, error) {
	return []sidecar.Pool{{ID: sidecar.HostPool, Total: int64(f), Free: int64(f)}}, nil
}

// sidecars returns options with sidecars that load from dir, for a machine
// with that much free memory.
func sidecars(t testing.TB, dir, server string, free int64) Options {
	t.Helper()
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: engines.All(engines.Config{}), Probe: freeHost(free), Reader: LogReader{}})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return Options{AllowLaunch: true, Offline: true, Sidecars: &Sidecars{
		Manager: m, Programs: &sidecar.Programs{Paths: map[string]string{"llama-server": server}}, Roots: []string{dir},
	}}
}

// tinyModel writes a model that the real llama-server runs.
func tinyModel(t testing.TB, dir string) string {
	t.Helper()
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func llamaServer(t testing.TB) string {
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

// ask calls a tool and checks its result against the schema.
func ask(t testing.TB, s *Surface, name string, args map[string]any) *Result {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Call(t.Context(), name, raw)
	if !r.Failed {
		conforms(t, s, name, r.Structured)
	}
	return r
}

// TestSidecarTools launches, looks at, calls and stops a real engine with the
// tools alone: what it allocates is what was predicted.
func TestSidecarTools(t *testing.T) {
	dir := t.TempDir()
	path := tinyModel(t, dir)
	s := newSurface(t, sidecars(t, dir, llamaServer(t), 1<<30))
	args := map[string]any{"model": path, "context_tokens": 1024, "sequences": 3, "name": "tiny"}
	if r := ask(t, s, "launch_sidecar", args); !r.Failed || !strings.Contains(string(r.Structured), `"denied"`) || !strings.Contains(r.Text, "confirm") {
		t.Fatalf("without confirmation: %s", r.Text)
	}
	args["confirm"] = true
	r := ask(t, s, "launch_sidecar", args)
	if r.Failed {
		t.Fatal(r.Text)
	}
	got := r.Answer.(*SidecarInfo)
	if got.State != sidecar.Ready || got.Access == nil || got.Reservation == 0 || got.Plan == nil || got.Plan.Verdict != "fits" {
		t.Fatalf("%s %s", r.Text, r.Structured)
	}
	// The log has two decimals of a MiB, which are 1.2 % of these weights.
	most := map[string]float64{"kv_cache": 0, "weights": 1.2, "workspace": 3}
	for _, d := range got.Differences {
		limit, known := most[d.Name]
		if !known || d.Percent > limit || d.Percent < -limit {
			t.Errorf("%s: measured %d, predicted %d (%v %%)", d.Name, d.Measured, d.Predicted, d.Percent)
		}
		delete(most, d.Name)
	}
	if len(most) > 0 {
		t.Errorf("not measured: %v", most)
	}
	if r := ask(t, s, "list_sidecars", map[string]any{"state": "ready"}); !strings.Contains(r.Text, got.ID) {
		t.Errorf("it is not listed: %s", r.Text)
	}
	if r := ask(t, s, "get_sidecar", map[string]any{"id": "tiny", "log_lines": 5}); r.Failed || len(r.Answer.(*SidecarInfo).LogTail) != 5 || r.Answer.(*SidecarInfo).About.Resident == 0 {
		t.Errorf("%s %s", r.Text, r.Structured)
	}
	if r := ask(t, s, "explain_memory", map[string]any{"sidecar": "tiny"}); r.Failed || r.Answer.(*Explanation).Failure != nil || r.Answer.(*Explanation).Settings.Sequences != 3 {
		t.Errorf("explained: %s", r.Text)
	} else {
		for _, d := range r.Answer.(*Explanation).Differences {
			if d.Within == nil || !*d.Within {
				t.Errorf("explained: %s is %d: %s", d.Name, d.Actual, r.Text)
			}
		}
	}
	r = ask(t, s, "call_sidecar", map[string]any{"id": "tiny", "prompt": "hello", "max_tokens": 4, "temperature": 0})
	if r.Failed || r.Answer.(*CallAnswer).Usage.CompletionTokens != 4 || r.Answer.(*CallAnswer).Timings.PerSecond <= 0 {
		t.Errorf("%s %s", r.Text, r.Structured)
	}
	if r := ask(t, s, "call_sidecar", map[string]any{"id": "tiny", "messages": []any{map[string]any{"role": "user", "content": "hi"}}, "max_tokens": 2}); r.Failed {
		t.Errorf("a chat: %s", r.Text)
	}
	if r := ask(t, s, "stop_sidecar", map[string]any{"id": "tiny"}); r.Failed || r.Answer.(*SidecarEnd).State != sidecar.Stopped {
		t.Errorf("%s", r.Text)
	}
	if r := ask(t, s, "call_sidecar", map[string]any{"id": "tiny", "prompt": "x"}); !r.Failed || !strings.Contains(string(r.Structured), `"not_ready"`) {
		t.Errorf("a call after its end: %s", r.Text)
	}
}

// The helper around llama-server takes the plan's command by message, and says
// what it holds by the names that the plan has.
func TestHelperTool(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	dir := t.TempDir()
	path := tinyModel(t, dir)
	opts := sidecars(t, dir, llamaServer(t), 1<<30)
	opts.Sidecars.Helper = helpers.Setup{Dir: t.TempDir()}.Find
	s := newSurface(t, opts)
	r := ask(t, s, "launch_sidecar", map[string]any{"model": path, "program": "llama-bridge", "context_tokens": 1024, "sequences": 3, "name": "helped", "confirm": true})
	if r.Failed {
		t.Fatal(r.Text)
	}
	got := r.Answer.(*SidecarInfo)
	if got.State != sidecar.Ready || got.Endpoint != "stdio" || len(got.Differences) != 3 {
		t.Fatalf("%s %s", r.Text, r.Structured)
	}
	for _, d := range got.Differences {
		if d.Name == "kv_cache" && d.Percent != 0 || d.Percent > 3 || d.Percent < -3 {
			t.Errorf("%s: measured %d, predicted %d", d.Name, d.Measured, d.Predicted)
		}
	}
	if r := ask(t, s, "call_sidecar", map[string]any{"id": "helped", "prompt": "hello", "max_tokens": 4}); r.Failed || r.Answer.(*CallAnswer).Usage.CompletionTokens != 4 {
		t.Errorf("%s", r.Text)
	}
	if r := ask(t, s, "stop_sidecar", map[string]any{"id": "helped"}); r.Failed {
		t.Errorf("%s", r.Text)
	}
}

// What would not fit is refused with changes that were planned and do; with
// force and confirmation it is started.
func TestWouldNotFit(t *testing.T) {
	dir := t.TempDir()
	path := tinyModel(t, dir)
	// 3.3 MiB are planned for 3 × 1024 tokens.
	s := newSurface(t, sidecars(t, dir, llamaServer(t), 3<<20))
	args := map[string]any{"model": path, "context_tokens": 1024, "sequences": 3, "confirm": true}
	r := ask(t, s, "launch_sidecar", args)
	if !r.Failed || !strings.Contains(string(r.Structured), `"would_not_fit"`) || !strings.Contains(r.Text, "sequences 1") || !strings.Contains(r.Text, "context_tokens 512") {
		t.Fatalf("%s", r.Text)
	}
	smaller := map[string]any{"model": path, "context_tokens": 1024, "sequences": 1, "confirm": true}
	if r := ask(t, s, "launch_sidecar", smaller); r.Failed || r.Answer.(*SidecarInfo).State != sidecar.Ready {
		t.Errorf("the change that was offered: %s", r.Text)
	}
	args["force"] = true
	if r := ask(t, s, "launch_sidecar", args); r.Failed || r.Answer.(*SidecarInfo).State != sidecar.Ready || r.Answer.(*SidecarInfo).Plan.Verdict != "does_not_fit" {
		t.Errorf("forced: %s", r.Text)
	}
}

// What cannot be launched says why, and what to do.
func TestLaunchRefused(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	path, outside := tinyModel(t, dir), tinyModel(t, elsewhere)
	link := filepath.Join(dir, "link.gguf")
	if !symlink(t, outside, link) {
		link = outside
	}
	s := newSurface(t, sidecars(t, dir, "/nowhere/llama-server", 1<<30))
	for name, c := range map[string]struct {
		args map[string]any
		code model.Code
	}{
		"outside the roots":   {map[string]any{"model": outside}, model.Denied},
		"a link to there":     {map[string]any{"model": link}, model.Denied},
		"a way around":        {map[string]any{"model": dir + "/../" + filepath.Base(elsewhere) + "/tiny.gguf"}, model.Denied},
		"no program":          {map[string]any{"model": path}, model.EngineNotInstalled},
		"no helper":           {map[string]any{"model": path, "program": "llama-bridge"}, model.EngineNotInstalled},
		"another's program":   {map[string]any{"model": path, "program": "vllm"}, model.InvalidArgument},
		"not here":            {map[string]any{"model": "catalog:Qwen/Qwen3-8B", "engine": "vllm"}, model.NotReady},
		"no model":            {map[string]any{}, model.InvalidArgument},
		"a configuration":     {map[string]any{"config": map[string]any{"model_type": "llama"}}, model.InvalidArgument},
		"a long name":         {map[string]any{"model": path, "name": strings.Repeat("x", 65)}, model.InvalidArgument},
		"a flag as a value":   {map[string]any{"model": path, "kv_cache_dtype": "--tools"}, model.InvalidArgument},
		"a shell's character": {map[string]any{"model": path, "flags": map[string]any{"override_tensor": "a;b"}}, model.InvalidArgument},
		"a drive's path":      {map[string]any{"model": path, "flags": map[string]any{"split_mode": `C:\etc`}}, model.InvalidArgument},
		"a path as a value":   {map[string]any{"model": path, "flags": map[string]any{"split_mode": "/etc/passwd"}}, model.InvalidArgument},
		"no engine":           {map[string]any{"model": path, "engine": "ideal"}, model.InvalidArgument},
	} {
		c.args["confirm"] = true
		r := ask(t, s, "launch_sidecar", c.args)
		if !r.Failed || !strings.Contains(string(r.Structured), `"`+string(c.code)+`"`) {
			t.Errorf("%s: %s", name, r.Structured)
		}
	}
	for _, name := range []string{"get_sidecar", "stop_sidecar"} {
		if r := ask(t, s, name, map[string]any{"id": "0000000000"}); !r.Failed || !strings.Contains(r.Text, "list_sidecars") {
			t.Errorf("%s: %s", name, r.Text)
		}
	}
	if r := ask(t, newSurface(t, Options{AllowLaunch: true}), "list_sidecars", nil); !r.Failed {
		t.Errorf("without sidecars: %s", r.Text)
	}
}

// A model's folder is followed to where its links lead.
func TestFolder(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	s := &Sidecars{Roots: []string{root}}
	blob, secret := filepath.Join(root, "blob"), filepath.Join(elsewhere, "secret")
	for _, f := range []string{blob, secret} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	make := func(name, link string) string {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if !symlink(t, link, filepath.Join(dir, "model.safetensors")) {
			t.Skip("links cannot be made here")
		}
		return dir
	}
	good := make("good", blob)
	if got, err := s.folder(good); err != nil || filepath.Base(got) != "good" {
		t.Errorf("a link inside the root: %v: %s", err, got)
	}
	symlink(t, good, filepath.Join(root, "again"))
	if got, err := s.folder(filepath.Join(root, "again")); err != nil || filepath.Base(got) != "good" {
		t.Errorf("a link to the folder: %v: %s", err, got)
	}
	outside := make("outside", secret)
	symlink(t, outside, filepath.Join(root, "hidden"))
	for name, dir := range map[string]string{
		"a link to a file elsewhere": outside, "the same behind a link": filepath.Join(root, "hidden"), "a link to a folder elsewhere": make("up", elsewhere),
		"a link to a folder": make("across", good), "a broken link": make("broken", filepath.Join(root, "none")), "elsewhere": elsewhere, "up": root + "/../" + filepath.Base(elsewhere),
	} {
		if got, err := s.folder(dir); err == nil {
			t.Errorf("%s: %s is taken", name, got)
		}
	}
}

// Nothing is downloaded, and no environment made, before a person agreed, nor
// at all when the network is not to be used.
func TestPrepareWaits(t *testing.T) {
	prepared := 0
	opts := sidecars(t, t.TempDir(), "", 1<<40)
	opts.Sidecars.Helper = func(string) (*sidecar.Helper, error) {
		return &sidecar.Helper{Python: "/nowhere/python", Script: "x.py", Prepare: func(_ context.Context, out io.Writer) error {
			prepared++
			fmt.Fprintln(out, "downloading")
			return errors.New("no luck")
		}}, nil
	}
	args := map[string]any{"model": "catalog:Qwen/Qwen3-0.6B", "engine": "transformers", "confirm": true}
	if r := ask(t, newSurface(t, opts), "launch_sidecar", args); !r.Failed || !strings.Contains(string(r.Structured), `"not_ready"`) {
		t.Errorf("offline without weights: %s", r.Text)
	}
	opts.Offline = false
	s := newSurface(t, opts)
	args["confirm"] = false
	if r := ask(t, s, "launch_sidecar", args); !r.Failed || !strings.Contains(string(r.Structured), `"denied"`) || !strings.Contains(r.Text, "downloaded") {
		t.Errorf("not agreed: %s", r.Text)
	}
	if prepared != 0 {
		t.Error("it was prepared before anybody agreed")
	}
	args["confirm"] = true
	r := ask(t, s, "launch_sidecar", args)
	if r.Failed || prepared != 1 {
		t.Fatalf("prepared %d times: %s", prepared, r.Text)
	}
	got := r.Answer.(*SidecarInfo)
	if got.State != sidecar.Failed || got.Failure.Cause != "no luck" || len(got.Failure.Lines) != 1 || got.Failure.Lines[0] != "downloading" {
		t.Errorf("%s %s", r.Text, r.Structured)
	}
}

// FuzzLaunch: no argument adds an option, a path outside the roots, a variable
// or a shell's character to what would be started.
func FuzzLaunch(f *testing.F) {
	dir := f.TempDir()
	path := tinyModel(f, dir)
	symlink(f, "/etc", filepath.Join(dir, "etc"))
	opts := sidecars(f, dir, "", 1<<40)
	e, err := opts.Sidecars.Manager.Engine("llama-server")
	if err != nil {
		f.Fatal(err)
	}
	// A program that takes every option that plans have, and those that are
	// never to be passed.
	accepted := "-m --host --port --fit -c -np --kv-unified --no-kv-unified -b -ub -fa -ctk -ctv --swa-full -ngl --n-cpu-moe -ot -sm -ts -mg --no-kv-offload --no-op-offload " +
		"--no-repack --load-mode --cache-ram --no-webui --offline --log-verbosity --metrics --log-colors"
	fake := printer(f, filepath.Join(dir, "llama-server"), optionLines(append(strings.Fields(accepted), e.Refused...)...)...)
	opts.Sidecars.Programs.Paths["llama-server"] = fake
	known := strings.Fields(accepted)
	f.Add(path, "f16", "auto", "split_mode", "layer", "x", int64(100), int64(1))
	f.Add(path, "--tools all", "-x", "override_tensor", "a=CPU;rm", "-n", int64(-5), int64(1<<40))
	f.Add(dir+"/etc/passwd", "q8_0", "Q4_K_M", "--tools", "$(id)", "../..", int64(1), int64(2))
	f.Add("catalog:Qwen/Qwen3-8B", "fp8", "fp8", "speculative", "/etc", "vllm", int64(1), int64(2))
	f.Fuzz(func(t *testing.T, ref, cache, weights, flag, value, name string, tokens, sequences int64) {
		q := SidecarLaunch{
			Model: ref, Name: name, Program: "",
			LoadArgs: LoadArgs{Engine: "llama.cpp", KVCacheDType: cache, Weights: weights, ContextTokens: tokens, Sequences: sequences, Flags: map[string]any{flag: value}},
		}
		p, err := q.prepare(t.Context(), opts)
		if err != nil {
			return
		}
		if p.spec.Program != fake || len(p.spec.Env) != 1 || p.spec.Env["HF_HUB_OFFLINE"] != "1" || len(p.spec.Files) > 0 {
			t.Errorf("it would start %s with %v and %v", p.spec.Program, p.spec.Env, p.spec.Files)
		}
		for i, w := range p.spec.Args {
			switch {
			case strings.HasPrefix(w, "-") && !slices.Contains(known, w):
				t.Errorf("the option %q in %q", w, p.spec.Args)
			case strings.ContainsAny(w, pathWords):
				t.Errorf("a shell's character in %q", w)
			case strings.ContainsAny(w, `/\`):
				if real, err := filepath.EvalSymlinks(w); err != nil || !strings.HasPrefix(real, dir) || p.spec.Args[i-1] != "-m" {
					t.Errorf("the path %q after %q", w, p.spec.Args[i-1])
				}
			}
		}
	})
}
