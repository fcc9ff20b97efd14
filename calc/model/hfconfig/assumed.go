package hfconfig

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"

	"hwledger/calc/model"
)

// otherKind matches model types that are not plain decoders whatever their
// configuration says or omits.
var otherKind = lazy(`(?i)bert|t5|bart|encoder|embed|clip|vit|whisper|audio|speech|vision|mamba|rwkv|ssm|hybrid|linear|jamba|zamba|griffin|recurrent|retnet|hyena|diffusion|_h1|_h$|moe`)

// assumed is the decoder for an unknown model_type. It is taken only for a
// causal language model each of whose keys is either read or known to change
// neither cache nor weights; anything else is an error naming the keys.
func assumed(c *cfg) (*model.Model, error) {
	class := c.architectures()
	causal := len(class) > 0 && (strings.HasSuffix(class[0], "ForCausalLM") || strings.HasSuffix(class[0], "LMHeadModel"))
	if !causal || otherKind().MatchString(c.modelType) || c.bool(false, "is_encoder_decoder") {
		odd := append([]string{"model_type"}, c.unread(structural)...)
		return nil, unknownStructure(c, odd)
	}
	d := llamaLike(c)
	d.m.Arch = ""
	if c.has("layer_types") {
		d.slideBy(c.window(), nil)
	} else if !c.bool(true, "use_sliding_window") {
		c.window()
	}
	m, err := d.build()
	if err != nil {
		return nil, err
	}
	if odd := c.unread(func(k string) bool { return !harmless().MatchString(k) }); len(odd) > 0 {
		return nil, unknownStructure(c, odd)
	}
	c.note("model_type", c.modelType, "assumed: an unknown type, read as a standard decoder")
	return m, nil
}

func unknownStructure(c *cfg, odd []string) error {
	const most = 12
	if len(odd) > most {
		odd = append(odd[:most:most], "…")
	}
	return model.Errorf(model.UnsupportedArchitecture, strings.Join(odd, ", "),
		"model_type %q is not known, and its configuration does not show a standard decoder", c.modelType).
		WithHint("Give the GGUF file or the safetensors headers of the model instead.")
}

// harmless matches keys that change neither what a layer keeps nor what it
// weighs: tokens, training, initialisation, scaling, generation.
var harmless = lazy(`(?i)^(_.*|.*tokens?(_ids?)?|.*token_(id|index)|.*(dropout|drop|pdrop)(_.*)?|.*_prob|.*eps|.*epsilon|.*loss.*|.*aux.*|.*init.*|.*_std|.*_act|.*activation.*|act_fn|rope_.*|rotary_.*|partial_rotary_factor|.*softcap(ping)?|.*(scale|scaling|multiplier|scalar)|clip_qkv|transformers_version|auto_map|architectures|model_type|torch_dtype|dtype|tie_.*|use_cache|pretraining_tp|name_or_path|tokenizer_class|output_.*|return_dict.*|torchscript|use_bfloat16|id2label|label2id|problem_type|num_labels|task_specific_params|(min|max)_length|num_beams|num_beam_groups|num_return_sequences|do_sample|top_[kp]|temperature|typical_p|repetition_penalty|length_penalty|diversity_penalty|early_stopping|bad_words_ids|prefix|pruned_heads|finetuning_task|is_decoder|is_encoder_decoder|add_cross_attention|chunk_size_feed_forward|.*ngram_size|remove_invalid_values|gradient_checkpointing|attn_implementation|.*flash.*|max_window_layers|use_sliding_window|sliding_window|layer_types|quantization.*|compression_config|unsloth.*|license|mup.*|z_loss.*)$`)

// structuralKey matches names of keys that change what a layer keeps or weighs
// beyond a standard decoder.
var structuralKey = lazy(`(?i)rank|ssm|mamba|conv|expert|moe|linear_|delta|recur|rwkv|state_size|index_|indexer|compress|latent|chunk|shared_layers|kv_shar|cross_|block_type|layer_types|_pattern|pattern_|layers_block|interval|hyper|memory|per_layer|altup|laurel|codebook|loop|sparse_|block_config|encoder|lora_|nope_|rope_head_dim|v_head_dim|global_head|attn_type|attention_type|qk_norm|nextn|mtp`)

func structural(key string) bool {
	return structuralKey().MatchString(key) && !harmless().MatchString(key)
}

// decisive matches keys that make another kind of model of any family that
// does not know them: nothing can be told of it by ignoring them.
func decisive(key string) bool { return decisiveKey().MatchString(key) }

var decisiveKey = lazy(`^(kv_lora_rank|(num|n|moe_num)_(local_|routed_)?experts|ssm_state_size|mamba_(d_state|d_conv|d_ssm|n_heads|num_heads)|linear_attn_config|linear_num_(key|value)_heads|layers_block_type|block_types|hybrid_.*pattern|num_kv_shared_layers|compress_ratios|index_head_dim|cross_attention_layers|block_configs|sparse_attention_config)$`)

// unread returns the keys of the text model that nobody read, that switch
// something on and that match, in order.
func (c *cfg) unread(match func(key string) bool) []string {
	var odd []string
	for k, v := range c.obj {
		if !c.read[c.path+k] && !empty(v) && match(k) {
			odd = append(odd, c.path+k)
		}
	}
	slices.Sort(odd)
	return odd
}

// noteUnread records structural-looking keys that a family did not read, so
// that an answer shows what it did not take into account.
func (c *cfg) noteUnread() {
	for _, k := range c.unread(structural) {
		c.note(k, "not used", "config.json:"+k)
	}
}

// empty reports whether a value switches nothing on.
func empty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case bool:
		return !x
	case json.Number:
		f, err := x.Float64()
		return err == nil && f == 0
	case string:
		return x == ""
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

// lazy compiles a pattern on its first use: these are large, and most runs of
// the program, among them every start of the server, need none.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
