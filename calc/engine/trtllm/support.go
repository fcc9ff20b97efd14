package trtllm

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// supported refuses models that the backend cannot run, where that is certain:
// its managers of recurrent states know Mamba-2, gated delta nets and Kimi's
// delta attention (pyexecutor/config_utils.py).
func (s *settings) supported(m *model.Model) error {
	refuse := func(format string, args ...any) *model.Error {
		return model.Errorf(model.UnsupportedArchitecture, "model_type", format, args...).WithHint("plan with vllm or llama.cpp")
	}
	switch {
	case m.Format == model.FormatGGUF:
		return refuse("TensorRT-LLM reads no GGUF files")
	case !m.Causal && !m.EncDec:
		return refuse("TensorRT-LLM generates text; %s is an encoder", m.Type)
	case len(m.Layers) == 0:
		return refuse("the description has no layers")
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch k := x.Kind(); k {
			case model.KindMamba2, model.KindGatedDelta, model.KindKDA:
				if s.engine && k != model.KindMamba2 {
					return refuse("TensorRT engines have no %s layers", k)
				}
			case model.KindMamba1, model.KindRGLRU:
				if !s.engine {
					return refuse("the PyTorch backend has no %s layers", k).WithHint("backend=tensorrt has them; or plan with vllm")
				}
			case model.KindLightning, model.KindShortConv, model.KindRWKV, model.KindGatedMemory, model.KindCompressed:
				return refuse("there are no rules for %s layers in TensorRT-LLM", k)
			}
		}
	}
	return nil
}

// served are the schemes, besides what the checkpoint stores, that quantized
// checkpoints for TensorRT-LLM come in.
var served = []string{"bf16", "fp16", "fp8", "fp8-tensor", "fp8-block", "nvfp4", "mxfp4", "int8", "awq", "gptq", "w4a16", "w8a16"}

// checkDevices refuses devices that are not NVIDIA's.
func checkDevices(hw engine.Hardware) error {
	for _, d := range hw.Devices {
		if d.Vendor != "nvidia" && d.Vendor != "" {
			return model.Errorf(model.InvalidArgument, "hardware", "TensorRT-LLM runs on NVIDIA devices only, not on %s", d.Name).WithHint("plan with vllm or llama.cpp")
		}
	}
	return nil
}
