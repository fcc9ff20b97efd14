package calc

import (
	"sort"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/ideal"
	"hwledger/calc/engine/llamacpp"
	"hwledger/calc/engine/lmstudio"
	"hwledger/calc/engine/mistralrs"
	"hwledger/calc/engine/mlx"
	"hwledger/calc/engine/sglang"
	"hwledger/calc/engine/tgi"
	"hwledger/calc/engine/transformers"
	"hwledger/calc/engine/trtllm"
	"hwledger/calc/engine/vllm"
	"hwledger/calc/model"
)

// engines are all engines there are rules for: a new one is one line here.
var engines = []engine.Engine{
	ideal.New(),
	vllm.New(),
	sglang.New(),
	llamacpp.New(),
	llamacpp.Ollama(),
	mlx.New(),
	lmstudio.New(llamacpp.LMStudio(), mlx.LMStudio()),
	transformers.New(),
	mistralrs.New(),
	tgi.New(),
	trtllm.New(),
}

// splitter is an engine that spreads layers over devices by itself, so that
// more devices do not mean more tensor-parallel ranks.
type splitter interface{ SplitsLayers() bool }

func splitsLayers(e engine.Engine) bool {
	s, ok := e.(splitter)
	return ok && s.SplitsLayers()
}

// Engines returns the names of all engines, sorted.
func Engines() []string {
	out := make([]string, len(engines))
	for i, e := range engines {
		out[i] = e.Name()
	}
	sort.Strings(out)
	return out
}

// EngineFlags returns the switches that an engine understands, nil for an
// unknown engine.
func EngineFlags(name string) []string {
	for _, e := range engines {
		if e.Name() == name {
			return e.Flags()
		}
	}
	return nil
}

// choose returns the engine asked for, or the one that fits the model's
// format and the hardware, with the reason.
func choose(req Request) (engine.Engine, string, error) {
	want, why := strings.ToLower(strings.TrimSpace(req.Engine)), ""
	if want == "" {
		want, why = preferred(req)
	}
	for _, e := range engines {
		if e.Name() == want {
			return e, why, nil
		}
	}
	err := model.Errorf(model.InvalidArgument, "engine", "there are no rules for %q", req.Engine)
	err.Candidates = Engines()
	return nil, "", err.WithHint("use one of the candidates; \"ideal\" gives the floor for any engine")
}

func preferred(req Request) (name, why string) {
	switch req.Model.Role {
	case model.RolePipeline:
		return ideal.Name, "there are no rules of an engine for diffusion pipelines"
	case model.RoleDraft:
		return ideal.Name, "the target model's engine runs the draft"
	}
	if req.Model.Format == model.FormatGGUF {
		return "llama.cpp", "the model is a GGUF"
	}
	if q := req.Model.Quant; q != nil && strings.HasPrefix(q.Method, "mlx") || strings.HasPrefix(strings.ToLower(req.Load.Weights), "mlx-") {
		return "mlx", "the weights are MLX's"
	}
	if ggufType(req.Load.Weights) {
		return "llama.cpp", "the weights are a GGUF type"
	}
	if d := req.Hardware.Devices; len(d) > 0 {
		switch {
		case d[0].Vendor == "apple":
			return "llama.cpp", "the usual engine on Apple hardware"
		case d[0].Vendor == "cpu":
			return "llama.cpp", "the usual engine without an accelerator"
		}
	}
	if err := vllm.Supports(req.Model, req.Load.Version); err != nil {
		return ideal.Name, "vLLM, the usual engine for a checkpoint, does not run it"
	}
	return "vllm", "the usual engine for a Hugging Face checkpoint"
}

// ggufType reports whether weights names a GGUF quantization: a block type, or
// a mix called after one ("Q4_K_M", "IQ3_XS").
func ggufType(weights string) bool {
	name := strings.ToUpper(weights)
	for _, mix := range [...]string{"_XL", "_XS", "_XXS", "_M", "_S", "_L"} {
		if base, ok := strings.CutSuffix(name, mix); ok {
			name = base
			break
		}
	}
	family, _, ok := strings.Cut(name, "_")
	return ok && len(family) >= 2 && len(family) <= 3 && strings.Contains("Q1 Q2 Q3 Q4 Q5 Q6 Q8 IQ1 IQ2 IQ3 IQ4 TQ1 TQ2", family) ||
		ok && family == "MXFP4" || !ok && strings.HasPrefix(name, "IQ")
}
