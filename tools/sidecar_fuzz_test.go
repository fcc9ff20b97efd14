package tools

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/sidecar"
)

// plain is a model of a checkpoint directory.
const plain = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":1024,"intermediate_size":2816,"num_hidden_layers":4,"num_attention_heads":16,
"num_key_value_heads":4,"vocab_size":32000,"max_position_embeddings":8192,"torch_dtype":"bfloat16","tie_word_embeddings":false}`

// allOptions makes a program for every engine that says it takes all options
// that the engine is known to have, and those that are never passed.
func allOptions(t testing.TB, opts Options, dir string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, accepted := range acceptedBy(t) {
		for _, e := range opts.Sidecars.Manager.For(name) {
			if e.Daemon != nil || e.Talk == sidecar.Stdio {
				continue
			}
			for o := range accepted {
				if !slices.Contains(e.Refused, o) {
					out[e.Name] = append(out[e.Name], o)
				}
			}
			for _, own := range e.Args {
				out[e.Name] = append(out[e.Name], own[0])
			}
			opts.Sidecars.Programs.Paths[e.Name] = printer(t, filepath.Join(dir, "program-"+e.Name), optionLines(append(append(slices.Clone(out[e.Name]), e.Refused...), e.KeyOption)...)...)
		}
	}
	return out
}

// FuzzEngines: under every engine, no argument adds an option that is not the
// plan's to give, a path, a variable or a shell's character.
func FuzzEngines(f *testing.F) {
	dir := f.TempDir()
	root := filepath.Join(dir, "models")
	folder := filepath.Join(root, "plain")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(plain), 0o600); err != nil {
		f.Fatal(err)
	}
	opts := sidecars(f, root, "", 1<<40)
	known := allOptions(f, opts, dir)
	names := []string{"vllm", "sglang", "tgi", "tensorrt-llm", "mistral.rs", "mlx"}
	// What a command sets in the environment is its own, with values of its own.
	variables := []string{"HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "ATTENTION", "TGI_WIGGLE_ROOM"}
	ask := func(which byte, cache, weights, flag, value, name string, parallel, tokens int64) SidecarLaunch {
		q := SidecarLaunch{
			Model: folder, Name: name, Hardware: &Hardware{Text: "H100"},
			LoadArgs: LoadArgs{Engine: EngineName(names[int(which)%len(names)]), KVCacheDType: cache, Weights: weights, ContextTokens: tokens, TensorParallel: parallel},
		}
		if flag != "" {
			q.Flags = map[string]any{flag: value}
		}
		if q.Engine == "mlx" {
			q.Hardware = &Hardware{Text: "M3 Max 64GB"}
		}
		return q
	}
	for i := range byte(len(names)) {
		if _, err := ask(i, "auto", "auto", "", "", "", 1, 4096).prepare(f.Context(), opts); err != nil {
			f.Errorf("%s: nothing would be started: %v", names[i], err)
		}
		f.Add(i, "auto", "auto", "", "", "", int64(1), int64(100))
		f.Add(i, "fp8", "fp8", "max_num_seqs", "8 --trust-remote-code", "", int64(1), int64(4096))
		f.Add(i, "--api-key", "-x", "server", "omlx", "omlx", int64(1), int64(0))
		f.Add(i, "auto", "auto", "server", "omlx", "omlx", int64(1), int64(0))
		f.Add(i, "fp8_e5m2", "awq", "chat_template", "/etc/passwd", "$(id)", int64(-1), int64(1<<40))
		f.Add(i, "fp8_e5m2", "auto", "mem_fraction_static", "0.5", "", int64(1), int64(300))
		f.Add(i, "auto", "q4", "trust_remote_code", "1", "<key>", int64(2), int64(7))
	}
	f.Fuzz(func(t *testing.T, which byte, cache, weights, flag, value, name string, parallel, tokens int64) {
		p, err := ask(which, cache, weights, flag, value, name, parallel, tokens).prepare(t.Context(), opts)
		if err != nil {
			return
		}
		if strings.TrimSuffix(p.spec.Program, ".exe") != filepath.Join(dir, "program-"+p.spec.Engine) {
			t.Errorf("it would start %s", p.spec.Program)
		}
		for v, is := range p.spec.Env {
			if !slices.Contains(variables, v) || strings.ContainsAny(is, shellWords+"/") || strings.HasPrefix(is, "-") {
				t.Errorf("the variable %s is %q", v, is)
			}
		}
		a, err := opts.Sidecars.Manager.Engine(p.spec.Engine)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range p.spec.Args {
			option, _, _ := strings.Cut(w, "=")
			before := ""
			if i > 0 {
				before = p.spec.Args[i-1]
			}
			switch {
			case i < len(a.Lead) && w == a.Lead[i]:
			case a.KeyOption != "" && (w == a.KeyOption && i == len(p.spec.Args)-2 || before == a.KeyOption): // the place of the key
			case strings.HasPrefix(w, "-") && !slices.Contains(known[p.spec.Engine], option):
				t.Errorf("the option %q in %q", w, p.spec.Args)
			case strings.ContainsAny(w, pathWords):
				t.Errorf("a shell's character in %q", w)
			case strings.Contains(w, "/") && w != folder && !(w == root && p.spec.Engine == "omlx"):
				t.Errorf("the path %q after %q", w, before)
			}
		}
	})
}
