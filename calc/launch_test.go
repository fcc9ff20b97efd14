package calc_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// launchOption is an option that an engine accepts.
type launchOption struct {
	name  string // the first of its names
	takes bool   // a value
}

// launchOptions reads the options of each engine by any of their names.
func launchOptions(t testing.TB) map[string]map[string]launchOption {
	t.Helper()
	files, err := filepath.Glob("../testdata/launch_flags/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	out := map[string]map[string]launchOption{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]launchOption{}
		for line := range strings.Lines(string(raw)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			first := ""
			for _, o := range strings.Fields(line) {
				flag, takes := strings.CutSuffix(o, "=")
				if first == "" {
					first = flag
				}
				known[flag] = launchOption{first, takes}
			}
		}
		out[strings.TrimSuffix(filepath.Base(f), ".txt")] = known
	}
	return out
}

// words are a command's own first words: all else are options and values.
var words = map[string][]string{
	"vllm": {"vllm", "serve", "MODEL"}, "sglang": {"python3", "-m", "sglang.launch_server"}, "tgi": {"text-generation-launcher"},
	"tensorrt-llm": {"trtllm-serve", "MODEL"}, "mistral.rs": {"mistralrs", "serve"}, "lmstudio": {"lms", "load", "MODEL"},
	"llama.cpp": {"llama-server"}, "ollama": {"ollama", "create", "planned"}, "transformers": {"transformers", "serve", "MODEL"},
}

// number is a number that no shell, and no engine, reads otherwise: without an
// exponent.
var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// parse reads a command as its engine would, by the options that it accepts.
func parse(t testing.TB, name string, known map[string]launchOption, argv []string) map[string]string {
	t.Helper()
	first := words[name]
	if name == "mlx" {
		first = []string{argv[0]}
		if argv[0] == "omlx" {
			first = []string{"omlx", "serve"}
		}
	}
	for i, w := range first {
		if i >= len(argv) || w != "MODEL" && argv[i] != w || strings.HasPrefix(argv[i], "-") && w != argv[i] {
			t.Fatalf("%s: %q does not begin with %q", name, argv, first)
		}
	}
	out := map[string]string{}
	for i := len(first); i < len(argv); i++ {
		o, ok := known[argv[i]]
		if !ok {
			t.Fatalf("%s accepts no %q: %q", name, argv[i], argv)
		}
		if _, twice := out[o.name]; twice {
			t.Errorf("%s: %s is there twice: %q", name, o.name, argv)
		}
		out[o.name] = ""
		if o.takes {
			if i++; i == len(argv) {
				t.Fatalf("%s: %s lacks its value: %q", name, o.name, argv)
			}
			v := argv[i]
			out[o.name] = v
			if v == "" || strings.HasPrefix(v, "-") && !number.MatchString(v) || strings.ContainsAny(v, "\x00\n") || strings.Contains(v, "e+") || strings.Contains(v, "e-0") {
				t.Errorf("%s: %s is %q", name, o.name, v)
			}
		}
	}
	return out
}

var launchModels = []string{"catalog:Qwen/Qwen3-8B", "catalog:openai/gpt-oss-20b", "catalog:Qwen/Qwen3-30B-A3B", "catalog:google/gemma-3-27b-it"}

// values are what flags are tried with: each flag takes one of them.
var values = []any{
	true, false, float64(1), float64(2), float64(64), float64(131072), float64(1 << 30), "131072", 0.5, 4.5, "auto", "bf16", "float32", "fp8", "fp8_e5m2", "q8_0", "on", "off",
	"pooling", "all", "none", "ngram", "mtp", "EAGLE", "NEXTN", "extra_buffer", "deepep", "row", `blk\.1\.ffn_.*=CPU`, "3,1", "1,2,4", "0:10;1:20", "mlx", "omlx",
	"paged", "flashdecoding", "eager", "8GB", "50%", "static", "quantized", "cpu", "eetq", "bitsandbytes-nf4", "nf4", "tensorrt", "Q4K",
}

func randomLoad(r *rand.Rand, name string) engine.Load {
	load := engine.Load{ContextTokens: 1 + r.Int64N(40000), Sequences: 1 + r.Int64N(64), TensorParallel: 1 << r.IntN(3), Flags: engine.Flags{}}
	pick := func(n int) bool { return r.IntN(n) == 0 }
	load.KVCacheType = []string{"", "", "fp8", "fp8_e5m2", "bf16", "q8_0"}[r.IntN(6)]
	load.Weights = []string{"", "", "bf16", "fp8", "nf4", "bnb-int8", "Q4_K_M", "q4k"}[r.IntN(8)]
	if pick(4) {
		load.PipelineParallel = 2
	}
	if pick(4) {
		load.DataParallel = 2
	}
	load.ExpertParallel = pick(6)
	if pick(4) {
		load.BatchTokens = 1 + r.Int64N(10000)
	}
	if pick(4) {
		load.MemoryUtilization = 0.5 + float64(r.IntN(50))/100
	}
	if pick(8) {
		n := r.Int64N(30)
		load.GPULayers = &n
	}
	if pick(8) {
		load.CPUMoELayers = r.Int64N(20)
	}
	flags := calc.EngineFlags(name)
	for range r.IntN(4) {
		load.Flags[flags[r.IntN(len(flags))]] = values[r.IntN(len(values))]
	}
	return load
}

var launchHardware = []string{"4x H100-80GB", "M3 Max 64GB", "4x RTX 4090", "RTX 4090"}

// TestLaunchOptions exports many loads for every engine: each word of the
// command is an option that the engine accepts, the value of the one before
// it, or one of the program's own first words.
func TestLaunchOptions(t *testing.T) {
	known := launchOptions(t)
	r := rand.New(rand.NewPCG(3, 4))
	exported := map[string]int{}
	for range 5000 {
		m := resolve(t, launchModels[r.IntN(len(launchModels))])
		name := calc.Engines()[r.IntN(len(calc.Engines()))]
		req := calc.Request{Model: m, Engine: name, Load: randomLoad(r, name), Hardware: devices(t, launchHardware[r.IntN(len(launchHardware))])}
		if res, err := calc.Size(req); err == nil {
			if c, err := calc.Launch(req, res, "org/name", calc.Endpoint{Host: "127.0.0.1", Port: 8000}); err == nil {
				exported[name]++
				parse(t, name, known[name], c.Argv)
			} else if name != "ideal" && !refused(err, model.InvalidArgument) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name := range known {
		if exported[name] < 10 {
			t.Errorf("%s: %d commands were exported", name, exported[name])
		}
	}
}

// TestLaunchHasNoFreeText: a text that a caller gives for a flag, a type or a
// scheme is refused, or comes out as one of the words that the option takes.
// Patterns of tensor names are the one exception.
func TestLaunchHasNoFreeText(t *testing.T) {
	const text = "zzz=CPU"
	m := resolve(t, "catalog:Qwen/Qwen3-8B")
	try := func(name, what string, load engine.Load) {
		load.ContextTokens = 1024
		req := calc.Request{Model: m, Engine: name, Load: load}
		res, err := calc.Size(req)
		if err != nil {
			return
		}
		c, err := calc.Launch(req, res, "org/name", calc.Endpoint{Host: "127.0.0.1", Port: 1})
		if err != nil {
			return
		}
		b, err := json.Marshal([]any{c.Argv, c.Env, c.Files, c.Serve})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "zzz") && what != "override_tensor" {
			t.Errorf("%s: the text of %s is in %s", name, what, b)
		}
	}
	for name := range launchOptions(t) {
		for _, f := range calc.EngineFlags(name) {
			try(name, f, engine.Load{Flags: engine.Flags{f: text}})
			try(name, f, engine.Load{Flags: engine.Flags{f: []any{text}}})
			try(name, f, engine.Load{Flags: engine.Flags{f: text, "server": "omlx"}})
		}
		try(name, "weights", engine.Load{Weights: text})
		try(name, "kv_cache_dtype", engine.Load{KVCacheType: text})
		try(name, "engine_version", engine.Load{Version: text})
	}
}

// said is all that a command tells an engine, and its reader.
func said(t testing.TB, c *engine.Command) string {
	t.Helper()
	b, err := json.Marshal([]any{c.Argv, c.Env, c.Files, c.Notes})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLaunchSaysEverySetting changes one setting of a load at a time: when
// that changes the plan it changes the command, its environment, its files or
// its notes too.
func TestLaunchSaysEverySetting(t *testing.T) {
	for name := range launchOptions(t) {
		changed := map[string]bool{}
		for i, base := range []engine.Load{
			{ContextTokens: 4000, Sequences: 4, TensorParallel: 1},
			{ContextTokens: 4000, Sequences: 4, TensorParallel: 2, DataParallel: 2, Flags: engine.Flags{"enable_dp_attention": true}},
			{ContextTokens: 4000, Sequences: 4, TensorParallel: 1, PipelineParallel: 2},
			{ContextTokens: 4000, Sequences: 4, TensorParallel: 1, Flags: engine.Flags{"server": "omlx"}},
			{ContextTokens: 4000, Sequences: 4, TensorParallel: 1, Flags: engine.Flags{"speculative_algorithm": "EAGLE", "enable_hierarchical_cache": true}},
		} {
			for f := range base.Flags {
				if !slices.Contains(calc.EngineFlags(name), f) {
					delete(base.Flags, f)
				}
			}
			ref := launchModels[2+i%2]
			everySetting(t, name, calc.Request{Model: resolve(t, ref), Engine: name, Load: base, Hardware: devices(t, "4x H100-80GB")}, changed)
		}
		if len(changed) < min(4, len(calc.EngineFlags(name))) {
			t.Errorf("%s: only %d settings changed the plan", name, len(changed))
		}
	}
}

func everySetting(t *testing.T, name string, req calc.Request, changed map[string]bool) {
	t.Helper()
	at := calc.Endpoint{Host: "127.0.0.1", Port: 8000}
	first, err := calc.Size(req)
	if err != nil {
		return
	}
	was, err := calc.Launch(req, first, "org/name", at)
	if err != nil {
		return
	}
	try := func(what string, set func(*engine.Load)) {
		next := req
		next.Load.Flags = engine.Flags{}
		for k, v := range req.Load.Flags {
			next.Load.Flags[k] = v
		}
		set(&next.Load)
		res, err := calc.Size(next)
		if err != nil || samePlan(first, res) {
			return
		}
		c, err := calc.Launch(next, res, "org/name", at)
		if err != nil {
			return // refused, which is said too
		}
		if reported := changed[what+" is lost"]; said(t, c) == said(t, was) && !reported {
			changed[what+" is lost"] = true
			t.Errorf("%s of %s: %s changes the plan from %v to %v, but not the command %q %q", name, req.Model.Name, what, first.Totals, res.Totals, c.Argv, c.Notes)
		}
		changed[what] = true
	}
	for _, f := range calc.EngineFlags(name) {
		for _, v := range values {
			try(f, func(l *engine.Load) { l.Flags[f] = v })
		}
	}
	for what, set := range map[string]func(*engine.Load){
		"context_tokens":         func(l *engine.Load) { l.ContextTokens *= 2 },
		"kv_cache_dtype":         func(l *engine.Load) { l.KVCacheType = "fp8" },
		"kv_cache_dtype q8_0":    func(l *engine.Load) { l.KVCacheType = "q8_0" },
		"tensor_parallel":        func(l *engine.Load) { l.TensorParallel = 4 },
		"pipeline_parallel":      func(l *engine.Load) { l.PipelineParallel = 2 },
		"expert_parallel":        func(l *engine.Load) { l.ExpertParallel = true },
		"batch_tokens":           func(l *engine.Load) { l.BatchTokens = 1234 },
		"gpu_layers":             func(l *engine.Load) { n := int64(7); l.GPULayers = &n },
		"cpu_moe_layers":         func(l *engine.Load) { l.CPUMoELayers = 5 },
		"gpu_memory_utilization": func(l *engine.Load) { l.MemoryUtilization = 0.7 },
		"weights":                func(l *engine.Load) { l.Weights = "fp8" },
		"weights nf4":            func(l *engine.Load) { l.Weights = "nf4" },
	} {
		try(what, set)
	}
}

// samePlan reports whether two plans take the same memory.
func samePlan(a, b *calc.Result) bool {
	return a.Totals == b.Totals && slices.EqualFunc(a.Devices, b.Devices, func(x, y calc.DeviceUse) bool { return x.Totals == y.Totals })
}

// FuzzLaunch: no text that a caller gives becomes an option.
func FuzzLaunch(f *testing.F) {
	known := launchOptions(f)
	m := resolve(f, "catalog:Qwen/Qwen3-8B")
	for _, s := range []string{"org/name", "org/name@rev", "--trust-remote-code", "-hf", "a b", "a\n--x", "$(id)", "./-x.gguf", "hf:--x", "hf:org/name@--y", "a/b/--c.gguf", "a/b:--c"} {
		f.Add(s, "127.0.0.1", "auto")
	}
	f.Add("org/name", "--api-key", "--x")
	f.Fuzz(func(t *testing.T, ref, host, text string) {
		for name, options := range known {
			req := calc.Request{Model: m, Engine: name, Load: engine.Load{ContextTokens: 1024, Flags: engine.Flags{}}}
			for _, flag := range []string{"runner", "dtype", "override_tensor", "device_map", "attention", "isq", "hot_cache_max_size", "speculative_method"} {
				if slices.Contains(calc.EngineFlags(name), flag) && text != "" {
					req.Load.Flags[flag] = text
				}
			}
			res, err := calc.Size(req)
			if err != nil {
				continue
			}
			c, err := calc.Launch(req, res, ref, calc.Endpoint{Host: host, Port: 1})
			if err != nil {
				if _, ok := err.(*model.Error); !ok {
					t.Fatal(err)
				}
				continue
			}
			parse(t, name, options, c.Argv)
		}
	})
}
