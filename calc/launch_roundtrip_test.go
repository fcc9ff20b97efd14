package calc_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// reread is the load that a command asks its engine for, read from its options
// alone; the workload, which no option says, is that of the plan.
type reread func(l *engine.Load, option, value string) bool

func int64Of(v string) int64 {
	n, _ := strconv.ParseInt(v, 10, 64)
	return n
}

func floatOf(v string) float64 {
	x, _ := strconv.ParseFloat(v, 64)
	return x
}

// flagOf is the flag that an option is named after.
func flagOf(option string) string {
	return strings.ReplaceAll(strings.TrimLeft(option, "-"), "-", "_")
}

var rereads = map[string]reread{
	"vllm": func(l *engine.Load, option, v string) bool {
		switch option {
		case "--max-model-len":
			l.MaxModelLen = int64Of(v)
		case "--gpu-memory-utilization":
			l.MemoryUtilization = floatOf(v)
		case "--tensor-parallel-size":
			l.TensorParallel = int64Of(v)
		case "--pipeline-parallel-size":
			l.PipelineParallel = int64Of(v)
		case "--data-parallel-size":
			l.DataParallel = int64Of(v)
		case "--enable-expert-parallel":
			l.ExpertParallel = true
		case "--kv-cache-dtype":
			l.KVCacheType = v
		case "--quantization":
			l.Weights = map[string]string{"fp8": "fp8", "bitsandbytes": "nf4"}[v]
		case "--no-enable-prefix-caching":
			l.Flags["enable_prefix_caching"] = false
		case "--speculative-config":
			l.Flags["num_speculative_tokens"] = int64Of(v[strings.LastIndex(v, ":")+1 : len(v)-1])
			l.Flags["speculative_method"] = strings.Split(v, `"`)[3]
		default:
			return false
		}
		return true
	},
	"sglang": func(l *engine.Load, option, v string) bool {
		switch option {
		case "--mem-fraction-static":
			l.MemoryUtilization = floatOf(v)
		case "--tensor-parallel-size":
			l.TensorParallel = int64Of(v)
		case "--pipeline-parallel-size":
			l.PipelineParallel = int64Of(v)
		case "--data-parallel-size":
			l.DataParallel = int64Of(v)
		case "--expert-parallel-size":
			l.Flags["ep_size"] = int64Of(v)
		case "--kv-cache-dtype":
			l.KVCacheType = v
		case "--quantization":
			l.Weights = map[string]string{"fp8": "fp8", "bitsandbytes": "nf4"}[v]
		case "--context-length", "--speculative-num-steps", "--speculative-eagle-topk": // the workload's, and those that follow
		default:
			return false
		}
		return true
	},
	"tgi": func(l *engine.Load, option, v string) bool {
		switch option {
		case "--num-shard":
			l.TensorParallel = int64Of(v)
		case "--kv-cache-dtype":
			l.KVCacheType = v
		case "--max-concurrent-requests":
		default:
			return false
		}
		return true
	},
	"llama.cpp": func(l *engine.Load, option, v string) bool {
		names := map[string]string{
			"--ctx-size": "n_ctx", "--parallel": "n_parallel", "--batch-size": "n_batch", "--ubatch-size": "n_ubatch",
			"--main-gpu": "main_gpu", "--n-cpu-moe": "n_cpu_moe",
		}
		switch option {
		case "--gpu-layers":
			n := int64Of(v)
			l.GPULayers = &n
		case "--flash-attn":
			l.Flags["flash_attn"] = v
		case "--no-kv-unified":
			l.Flags["kv_unified"] = false
		case "--load-mode":
			l.Flags["no_mmap"] = v == "none"
		case "--model", "-hf", "--fit", "--cache-ram", "--no-webui":
		case "--embedding":
			l.Flags["embeddings"] = true
		default:
			if names[option] == "" {
				return false
			}
			l.Flags[names[option]] = int64Of(v)
		}
		return true
	},
}

// anyway are the options that say nothing of memory.
var anyway = map[string]bool{"--host": true, "--hostname": true, "--port": true, "--model-path": true, "--model-id": true, "--revision": true, "--load-format": true}

// TestLaunchRoundTrip plans many loads, reads the exported command back as
// the engine would, and plans that: the bytes are the same.
func TestLaunchRoundTrip(t *testing.T) {
	known := launchOptions(t)
	r := rand.New(rand.NewPCG(5, 6))
	planned := map[string]int{}
	for range 2500 {
		name := []string{"vllm", "sglang", "tgi", "llama.cpp"}[r.IntN(4)]
		load := randomLoad(r, name)
		load.MaxModelLen = 0
		req := calc.Request{Model: resolve(t, launchModels[r.IntN(len(launchModels))]), Engine: name, Load: load, Hardware: devices(t, launchHardware[r.IntN(len(launchHardware))])}
		first, err := calc.Size(req)
		if err != nil {
			continue
		}
		c, err := calc.Launch(req, first, "org/name", calc.Endpoint{Host: "127.0.0.1", Port: 8000})
		if err != nil || unsaid(c) {
			continue
		}
		back := engine.Load{ContextTokens: first.Load.ContextTokens, Sequences: first.Load.Sequences, TensorParallel: 1, Flags: engine.Flags{}}
		if name == "llama.cpp" {
			back.Weights = load.Weights // it is in the file
			back.TensorParallel, back.PipelineParallel, back.DataParallel = first.Load.TensorParallel, first.Load.PipelineParallel, first.Load.DataParallel
		}
		if name == "tgi" { // replicas are started one by one
			back.DataParallel = load.DataParallel
		}
		for option, v := range parse(t, name, known[name], c.Argv) {
			switch takes := known[name][option].takes; {
			case anyway[option], rereads[name](&back, option, v):
			case takes:
				back.Flags[flagOf(option)] = v
			default:
				back.Flags[flagOf(option)] = true
			}
		}
		for k, v := range c.Env {
			if k == "TGI_WIGGLE_ROOM" {
				back.Flags[k] = v
			} else if k == "ATTENTION" {
				back.Flags["attention"] = v
			} else if k == "SGLANG_SWA_EVICTION_INTERVAL" {
				back.Flags["swa_eviction_interval"] = v
			}
		}
		again, err := calc.Size(calc.Request{Model: req.Model, Engine: name, Load: back, Hardware: req.Hardware})
		if err != nil {
			t.Errorf("%s: %q: %v", name, c.Argv, err)
			continue
		}
		planned[name]++
		if !samePlan(first, again) {
			t.Errorf("%s of %s on %v, %+v: %+v planned, %+v read back from %q", name, req.Model.Name, first.Devices[0].Name, load, first.Totals, again.Totals, c.Argv)
		}
	}
	for _, name := range []string{"vllm", "sglang", "tgi", "llama.cpp"} {
		if planned[name] < 30 {
			t.Errorf("%s: %d commands were read back", name, planned[name])
		}
	}
}

// unsaid reports a command that says in its notes that it lacks a setting.
func unsaid(c *engine.Command) bool {
	for _, n := range c.Notes {
		if strings.Contains(n, "has no option") || strings.Contains(n, "no part of the plan") {
			return true
		}
	}
	return false
}
