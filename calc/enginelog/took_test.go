package enginelog

import (
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
)

const mi = engine.MiB

// plan is one of an engine that sizes its pool by what is left.
func planOf(pool engine.Bytes, terms ...engine.Term) *calc.Result {
	for i := range terms {
		terms[i].On = []int{0}
	}
	return &calc.Result{Terms: terms, Cache: engine.Cache{Pool: pool}, Devices: make([]calc.DeviceUse, 1)}
}

func byName(t *testing.T, all []engine.Took) map[string]engine.Took {
	t.Helper()
	out := map[string]engine.Took{}
	for _, k := range all {
		if _, twice := out[k.Term]; twice || k.Ranks != "1x1" {
			t.Errorf("%+v", k)
		}
		out[k.Term] = k
	}
	return out
}

// The log is of Llama-3.1-8B on an H100 with vLLM 0.19 as llm-d-planner
// published it: 14.99 GiB of weights, 1.89 GiB of activation, 0.25 GiB outside
// PyTorch, 0.91 GiB of graphs, 58.11 GiB of cache in a budget of 75.23.
const vllmStart = `INFO vLLM API server version 0.19.0
Model loading took 14.99 GiB memory and 5.4 seconds
Available KV cache memory: 58.11 GiB
GPU KV cache size: 476,016 tokens
Maximum concurrency for 8,192 tokens per request: 58.11x
Graph capturing finished in 10 secs, took 0.91 GiB
`

const afterCapture = "Actual usage is 14.99 GiB for weight, 1.89 GiB for peak activation, 0.25 GiB for non-torch memory, and 0.91 GiB for CUDAGraph memory.\n"

func vllmPlan() *calc.Result {
	return planOf(58*1024*mi,
		engine.Term{Name: "weights", Category: engine.Weights, Bytes: 15350 * mi},
		engine.Term{Name: "profile activation", Category: engine.Workspace, Bytes: 1700 * mi, Low: 1700 * mi, High: 1800 * mi},
		engine.Term{Name: "profile base", Category: engine.Workspace, Bytes: 180 * mi, Low: 100 * mi, High: 500 * mi},
		engine.Term{Name: "memory outside PyTorch", Category: engine.Runtime, Bytes: 400 * mi, Low: 200 * mi, High: 600 * mi},
		engine.Term{Name: "CUDA graphs", Category: engine.Runtime, Bytes: 800 * mi, Low: 400 * mi, High: 1600 * mi, Outside: true},
		engine.Term{Name: "kv cache", Category: engine.KVCache, Bytes: 1024 * mi},
	)
}

var oneH100 = &engine.Hardware{Devices: []engine.Device{{Name: "H100", Vendor: "nvidia"}}}

func TestTook(t *testing.T) {
	r, err := Parse(vllmStart + afterCapture)
	if err != nil {
		t.Fatal(err)
	}
	got := byName(t, r.Took(vllmPlan(), oneH100, nil))
	gib := func(x float64) engine.Bytes { return engine.Bytes(x * float64(engine.GiB)) }
	act := got["profile activation"].Bytes + got["profile base"].Bytes
	if d := act - gib(1.89); d < -2 || d > 2 || got["profile base"].Bytes-180*mi < got["profile activation"].Bytes-1700*mi {
		t.Errorf("the profile run took %s in all: %+v", act, got)
	}
	if k := got["memory outside PyTorch"]; k.Bytes != gib(0.25) || k.Planned != 400*mi || k.Device != "H100" {
		t.Errorf("%+v", k)
	}
	if k := got["CUDA graphs"]; k.Bytes != gib(0.91) {
		t.Errorf("%+v", k)
	}
	if len(got) != 4 {
		t.Errorf("closed terms, or caches, are among them: %+v", got)
	}
}

// Without the lines after capture the pool says what the budget leaves: 58.11 of
// 58 GiB planned, with 15349.8 of 15350 MiB for weights.
func TestTookByPool(t *testing.T) {
	r, err := Parse(vllmStart)
	if err != nil {
		t.Fatal(err)
	}
	got := byName(t, r.Took(vllmPlan(), oneH100, nil))
	sum := got["profile activation"].Bytes + got["profile base"].Bytes + got["memory outside PyTorch"].Bytes
	if want := engine.Bytes(2280)*mi - engine.GiB*11/100; sum < want-mi || sum > want+mi {
		t.Errorf("%s, want %s: %+v", sum, want, got)
	}
}

// What would be less than nothing is nothing, and the rest of the difference is
// the others'.
func TestTookNothing(t *testing.T) {
	r, err := Parse(vllmStart + afterCapture)
	if err != nil {
		t.Fatal(err)
	}
	p := vllmPlan()
	p.Terms[3].Bytes, p.Terms[3].High = 100*mi, 5000*mi
	p.Terms = append(p.Terms, engine.Term{Name: "communicators", Category: engine.Runtime, On: []int{0}, Bytes: 2600 * mi, Low: 2590 * mi, High: 2700 * mi})
	got := byName(t, r.Took(p, oneH100, nil))
	if got["memory outside PyTorch"].Bytes != 0 || got["communicators"].Bytes != 256*mi {
		t.Errorf("%+v", got)
	}
}

// A difference that the print hides is none, and a start that failed tells
// nothing.
func TestTookSmall(t *testing.T) {
	r, err := Parse(vllmStart)
	if err != nil {
		t.Fatal(err)
	}
	p := planOf(0, engine.Term{Name: "CUDA graphs", Category: engine.Runtime, Bytes: 932 * mi, Low: 1, High: 1000 * mi})
	if got := byName(t, r.Took(p, oneH100, nil)); got["CUDA graphs"].Bytes != 932*mi {
		t.Errorf("%+v", got)
	}
	r.Failure = &Failure{Kind: OutOfMemory}
	if got := r.Took(p, oneH100, nil); got != nil {
		t.Errorf("%+v", got)
	}
}

// Buffers that llama.cpp logs are of their devices, and what the driver says
// beyond them is its context.
func TestTookByBuffer(t *testing.T) {
	r, err := Parse(`llama_model_loader: loaded meta data
load_tensors:   CPU_Mapped model buffer size =   100.00 MiB
load_tensors:        CUDA0 model buffer size =  1000.00 MiB
load_tensors:        CUDA1 model buffer size =   900.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    50.00 MiB
llama_kv_cache:      CUDA1 KV buffer size =    40.00 MiB
llama_context:      CUDA0 compute buffer size =   120.00 MiB
llama_context:      CUDA1 compute buffer size =   130.00 MiB
llama_context:  CUDA_Host compute buffer size =    20.00 MiB
`)
	if err != nil {
		t.Fatal(err)
	}
	compute := engine.Term{Name: "Compute buffer", Category: engine.Workspace, Bytes: 100 * mi, Low: 90 * mi, High: 150 * mi}
	context := engine.Term{Name: "Device context", Category: engine.Runtime, Bytes: 300 * mi, Low: 150 * mi, High: 700 * mi}
	p := &calc.Result{Devices: make([]calc.DeviceUse, 2), Terms: []engine.Term{compute, compute, compute, context, context}}
	for i, on := range [][]int{{0}, {1}, nil, {0}, {1}} {
		p.Terms[i].On = on
	}
	hw := &engine.Hardware{Devices: []engine.Device{{Name: "A", Vendor: "nvidia"}, {Name: "B", Vendor: "nvidia"}}}
	got := map[string]engine.Bytes{}
	for _, k := range r.Took(p, hw, []engine.Bytes{1322 * mi, 0}) {
		got[k.Term+" on "+k.Device] = k.Bytes
	}
	for name, want := range map[string]engine.Bytes{"Compute buffer on A": 120 * mi, "Compute buffer on B": 130 * mi, "Compute buffer on host": 20 * mi, "Device context on A": 152 * mi} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("also %v", got)
	}
}
