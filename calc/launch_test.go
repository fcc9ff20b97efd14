package calc_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// launchOptions reads the options that each engine accepts, and whether they
// take a value.
func launchOptions(t testing.TB) map[string]map[string]bool {
	t.Helper()
	raw, err := os.ReadFile("../testdata/launch_options.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	name := ""
	for _, line := range strings.Split(string(raw), "\n") {
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, "-"):
			name = line
			out[name] = map[string]bool{}
		default:
			for _, o := range strings.Fields(line) {
				flag, takes := strings.CutSuffix(o, "=")
				out[name][flag] = takes
			}
		}
	}
	return out
}

// TestLaunchOptions exports many loads for every engine: each word is an
// option that the engine accepts, the value of the one before it, or one of
// the program's own first words.
func TestLaunchOptions(t *testing.T) {
	known := launchOptions(t)
	r := rand.New(rand.NewPCG(3, 4))
	models := []string{"catalog:Qwen/Qwen3-8B", "catalog:openai/gpt-oss-20b", "catalog:Qwen/Qwen3-30B-A3B", "catalog:google/gemma-3-27b-it"}
	exported := map[string]int{}
	for range 2500 {
		m := resolve(t, models[r.IntN(len(models))])
		name := calc.Engines()[r.IntN(len(calc.Engines()))]
		load := engine.Load{ContextTokens: 1 + r.Int64N(40000), Sequences: 1 + r.Int64N(64), TensorParallel: 1 << r.IntN(3), Flags: engine.Flags{}}
		load.KVCacheType = []string{"", "", "fp8", "q8_0"}[r.IntN(4)]
		load.Weights = []string{"", "", "fp8", "nf4", "Q4_K_M"}[r.IntN(5)]
		flags := calc.EngineFlags(name)
		for range r.IntN(3) {
			load.Flags[flags[r.IntN(len(flags))]] = []any{true, false, float64(1 + r.IntN(512)), float64(1 << 20), 0.5, "auto"}[r.IntN(6)]
		}
		req := calc.Request{Model: m, Engine: name, Load: load, Hardware: devices(t, []string{"4x H100-80GB", "M3 Max 64GB", "4x RTX 4090"}[r.IntN(3)])}
		res, err := calc.Size(req)
		if err != nil {
			continue
		}
		c, err := calc.Launch(req, res, "org/name", calc.Endpoint{Host: "127.0.0.1", Port: 8000})
		if err != nil {
			continue
		}
		exported[name]++
		options := known[name]
		for i := 1; i < len(c.Argv); i++ {
			w := c.Argv[i]
			takes, ok := options[w]
			switch {
			case !ok && strings.HasPrefix(w, "-"):
				t.Errorf("%s does not know %q: %q", name, w, c.Argv)
			case takes && i+1 == len(c.Argv):
				t.Errorf("%s: %s lacks its value: %q", name, w, c.Argv)
			case takes:
				i++
				if v := c.Argv[i]; v == "" || strings.Contains(v, "e+") {
					t.Errorf("%s: %s is %q", name, w, v)
				}
			}
		}
	}
	for name := range known {
		if exported[name] < 5 {
			t.Errorf("%s: %d commands were exported", name, exported[name])
		}
	}
}

// FuzzLaunch: no text that a caller gives becomes an option.
func FuzzLaunch(f *testing.F) {
	known := launchOptions(f)
	m := resolve(f, "catalog:Qwen/Qwen3-8B")
	for _, s := range []string{"org/name", "--trust-remote-code", "-hf", "a b", "a\n--x", "$(id)", "./-x.gguf", "hf:--x", "hf:org/name@--y"} {
		f.Add(s, "127.0.0.1", "auto")
	}
	f.Fuzz(func(t *testing.T, ref, host, dtype string) {
		for name, options := range known {
			req := calc.Request{Model: m, Engine: name, Load: engine.Load{ContextTokens: 1024}}
			if name == "vllm" {
				req.Load.Flags = engine.Flags{"runner": dtype}
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
			for i := 1; i < len(c.Argv); i++ {
				takes, ok := options[c.Argv[i]]
				if !ok && strings.HasPrefix(c.Argv[i], "-") {
					t.Errorf("%s: %q", name, c.Argv)
				}
				if takes {
					i++
				}
				if i < len(c.Argv) && strings.ContainsAny(c.Argv[i], "\n\x00") {
					t.Errorf("%s: %q", name, c.Argv)
				}
			}
		}
	})
}
