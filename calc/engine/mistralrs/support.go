package mistralrs

import (
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// classes are the model classes that mistral.rs 0.9.2 loads
// (pipeline/loaders: normal, multimodal and embedding).
var classes = []string{
	"MistralForCausalLM", "MixtralForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "PhiForCausalLM", "Phi3ForCausalLM", "LlamaForCausalLM",
	"Qwen2ForCausalLM", "Starcoder2ForCausalLM", "PhiMoEForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "Qwen3ForCausalLM",
	"Glm4ForCausalLM", "Glm4MoeLiteForCausalLM", "Glm4MoeForCausalLM", "Qwen3MoeForCausalLM", "SmolLM3ForCausalLM", "GraniteMoeHybridForCausalLM",
	"GptOssForCausalLM", "HunYuanDenseV1ForCausalLM", "HunYuanMoEV1ForCausalLM", "Qwen3NextForCausalLM", "Qwen3_5ForCausalLM", "Lfm2ForCausalLM",
	"Lfm2MoeForCausalLM", "Phi3VForCausalLM", "Idefics2ForConditionalGeneration", "LlavaNextForConditionalGeneration", "LlavaForConditionalGeneration",
	"Lfm2VlForConditionalGeneration", "MllamaForConditionalGeneration", "Qwen2VLForConditionalGeneration", "Idefics3ForConditionalGeneration", "MiniCPMO",
	"Phi4MMForCausalLM", "Qwen2_5_VLForConditionalGeneration", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "Mistral3ForConditionalGeneration",
	"Llama4ForConditionalGeneration", "Gemma3nForConditionalGeneration", "Gemma4ForConditionalGeneration", "Gemma4ForCausalLM",
	"Gemma4UnifiedForConditionalGeneration", "Gemma4UnifiedForCausalLM",
	"MuseGlimmerForConditionalGeneration", "DiffusionGemmaForBlockDiffusion", "Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration",
	"Qwen3_5ForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration", "VoxtralRealtimeForConditionalGeneration", "Gemma3TextModel",
}

// ggufArchs are the GGUF architectures that mistral.rs 0.9.2 lists.
var ggufArchs = []string{
	"llama", "mpt", "gptneox", "gptj", "gpt2", "bloom", "falcon", "mamba", "rwkv", "phi2", "phi3", "starcoder2", "qwen2", "qwen3", "qwen3moe", "mistral3",
}

// supported refuses what mistral.rs has no code for, where that is certain.
func supported(m *model.Model, hw engine.Hardware) error {
	refuse := func(format string, args ...any) *model.Error {
		return model.Errorf(model.UnsupportedArchitecture, "model_type", format, args...).WithHint("plan with llama.cpp or vllm")
	}
	switch {
	case m.EncDec:
		return refuse("mistral.rs has no text models with an encoder such as %s", m.Type)
	case len(m.Layers) == 0:
		return refuse("the description has no layers")
	case m.Format != model.FormatGGUF && m.Architecture != "" && !slices.Contains(classes, m.Architecture):
		return refuse("mistral.rs 0.9.2 has no code for %s", m.Architecture)
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch k := x.Kind(); k {
			case model.KindMamba1, model.KindRWKV, model.KindRGLRU, model.KindLightning, model.KindKDA, model.KindGatedMemory, model.KindCompressed:
				return refuse("mistral.rs has no %s layers", k)
			}
		}
	}
	for _, d := range hw.Devices {
		if d.Vendor == "amd" || d.Vendor == "intel" {
			return model.Errorf(model.InvalidArgument, "hardware", "mistral.rs computes on NVIDIA and Apple devices and on processors, not on %s", d.Name).
				WithHint("plan with llama.cpp, or for the processor")
		}
	}
	return nil
}
