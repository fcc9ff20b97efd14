package hfconfig

import (
	"encoding/json"
	"slices"
	"strings"

	"hwledger/calc/model"
)

// mistralKeys are the keys of a params.json by what a config.json calls them
// (vllm transformers_utils/configs/mistral.py).
var mistralKeys = map[string]string{
	"dim": "hidden_size", "n_layers": "num_hidden_layers", "hidden_dim": "intermediate_size", "n_heads": "num_attention_heads",
	"n_kv_heads": "num_key_value_heads", "head_dim": "head_dim", "vocab_size": "vocab_size", "sliding_window": "sliding_window",
	"max_position_embeddings": "max_position_embeddings", "max_seq_len": "max_position_embeddings", "model_max_length": "max_position_embeddings",
	"tied_embeddings": "tie_word_embeddings", "rope_theta": "rope_theta", "norm_eps": "rms_norm_eps",
}

// mistralKnown are keys that change neither what the model keeps nor what it
// weighs.
var mistralKnown = []string{"moe", "causal", "use_biases", "multimodal", "yarn", "model_parallel", "ragged_attention", "max_batch_size"}

// FromMistral translates the params.json of Mistral's own format to the
// config.json that the same model has. It fails with MalformedFile when a size
// is missing, as it is from the params.json of LLaMA's own format, and with
// UnsupportedArchitecture when a key is not known to be harmless.
func FromMistral(raw []byte) ([]byte, error) {
	params, err := decode(raw)
	if err != nil {
		return nil, err
	}
	fail := func(code model.Code, keys []string, why string) error {
		slices.Sort(keys)
		return model.Errorf(code, strings.Join(keys, ", "), "%s", why).WithHint("Give the config.json of the model, or its GGUF file.")
	}
	out := map[string]any{"model_type": "mistral", "architectures": []string{"MistralForCausalLM"}, "torch_dtype": "bfloat16"}
	var odd, missing []string
	for k, v := range params {
		switch to := mistralKeys[k]; {
		case v == nil:
		case to != "":
			out[to] = v
		case !slices.Contains(mistralKnown, k):
			odd = append(odd, k)
		}
	}
	for _, k := range []string{"dim", "n_layers", "hidden_dim", "n_heads", "vocab_size"} {
		if params[k] == nil {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		return nil, fail(model.MalformedFile, missing, "the params.json does not give them")
	}
	if len(odd) > 0 {
		return nil, fail(model.UnsupportedArchitecture, odd, "what this says about the model is not known")
	}
	if on, ok := params["use_biases"].(bool); ok && on {
		return nil, fail(model.UnsupportedArchitecture, []string{"use_biases"}, "which weights have biases is not known")
	}
	if moe, ok := params["moe"].(map[string]any); ok {
		out["model_type"], out["architectures"] = "mixtral", []string{"MixtralForCausalLM"}
		out["num_local_experts"], out["num_experts_per_tok"] = moe["num_experts"], moe["num_experts_per_tok"]
	}
	if _, ok := out["tie_word_embeddings"]; !ok {
		out["tie_word_embeddings"] = false
	}
	return json.Marshal(out)
}
