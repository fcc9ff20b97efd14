package hfconfig

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// fails parses raw and returns the error, which must be a *model.Error.
func fails(t testing.TB, raw string) *model.Error {
	t.Helper()
	m, err := Parse([]byte(raw))
	var e *model.Error
	if !errors.As(err, &e) {
		t.Fatalf("%.200s\ngave %v, %v; want a *model.Error", raw, m, err)
	}
	return e
}

const llamaHead = `"model_type":"llama","hidden_size":64,"num_attention_heads":4,"vocab_size":100,"max_position_embeddings":512`

// TestRefusals: what is missing, unknown or impossible is named, never guessed.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, config string
		code         model.Code
		fields       string // comma-separated, each must be named
	}{
		{"all missing keys at once", `{"model_type":"llama"}`, model.MalformedFile, "hidden_size,num_hidden_layers,num_attention_heads,vocab_size"},
		{"missing width", `{` + llamaHead + `,"num_hidden_layers":2}`, model.MalformedFile, "intermediate_size"},
		{"missing experts", `{"model_type":"mixtral","hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128}`, model.MalformedFile, "num_experts,num_experts_per_tok"},
		{"missing latent sizes", `{"model_type":"deepseek_v3","hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128}`, model.MalformedFile, "kv_lora_rank,qk_nope_head_dim,qk_rope_head_dim,v_head_dim"},
		{"missing window", `{` + llamaHead + `,"model_type":"olmo3","num_hidden_layers":1,"intermediate_size":128,"layer_types":["sliding_attention"],"sliding_window":0}`, model.MalformedFile, "sliding_window"},
		{"no type at all", `{"hidden_size":64}`, model.MalformedFile, "model_type"},
		{"short layer_types", `{` + llamaHead + `,"model_type":"olmo3","num_hidden_layers":3,"intermediate_size":128,"layer_types":["full_attention"]}`, model.MalformedFile, "layer_types"},
		{"unknown layer type", `{` + llamaHead + `,"model_type":"olmo3","num_hidden_layers":1,"intermediate_size":128,"layer_types":["linear_attention"]}`, model.UnsupportedArchitecture, "layer_types"},
		{"unknown type with experts", `{"model_type":"nova","architectures":["NovaForCausalLM"],"hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128,"n_novel_experts":8}`, model.UnsupportedArchitecture, "n_novel_experts"},
		{"unknown type with an unknown key", `{"model_type":"nova","architectures":["NovaForCausalLM"],"hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128,"cache_fold":2}`, model.UnsupportedArchitecture, "cache_fold"},
		{"unknown encoder", `{"model_type":"novabert","architectures":["NovaBertModel"],"hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128}`, model.UnsupportedArchitecture, "model_type"},
		{"known type with another kind's keys", `{` + llamaHead + `,"num_hidden_layers":2,"intermediate_size":128,"kv_lora_rank":512}`, model.UnsupportedArchitecture, "kv_lora_rank"},
		{"wrapper around an unknown text model", `{"model_type":"mistral3","text_config":{"model_type":"mistral9","hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128,"kv_lora_rank":64}}`, model.UnsupportedArchitecture, "kv_lora_rank"},
		{"unknown compression", `{` + llamaHead + `,"num_hidden_layers":2,"intermediate_size":128,"quantization_config":{"quant_method":"compressed-tensors"}}`, model.UnsupportedArchitecture, "config_groups"},
		{"MLX in bits that it does not have", `{` + llamaHead + `,"num_hidden_layers":2,"intermediate_size":128,"quantization":{"bits":7,"group_size":64}}`, model.UnsupportedArchitecture, "quantization"},
		{"MLX in a group that its mode does not have", `{` + llamaHead + `,"num_hidden_layers":2,"intermediate_size":128,"quantization":{"bits":4,"group_size":64,"model.layers.0.mlp.up_proj":{"mode":"mxfp4","group_size":64,"bits":4}}}`, model.UnsupportedArchitecture, "up_proj"},
		{"too many layers", `{` + llamaHead + `,"num_hidden_layers":5000,"intermediate_size":128}`, model.MalformedFile, "num_hidden_layers"},
		{"negative layers", `{` + llamaHead + `,"num_hidden_layers":-3,"intermediate_size":128}`, model.MalformedFile, "num_hidden_layers"},
		{"fractional layers", `{` + llamaHead + `,"num_hidden_layers":2.5,"intermediate_size":128}`, model.MalformedFile, "num_hidden_layers"},
		{"text for a number", `{` + llamaHead + `,"num_hidden_layers":"2","intermediate_size":128}`, model.MalformedFile, "num_hidden_layers"},
		{"a number beyond any", `{` + llamaHead + `,"num_hidden_layers":2,"intermediate_size":1e30}`, model.MalformedFile, "intermediate_size"},
		{"more experts active than there are", `{"model_type":"mixtral","hidden_size":64,"num_attention_heads":4,"vocab_size":100,"num_hidden_layers":2,"intermediate_size":128,"num_local_experts":2,"num_experts_per_tok":4}`, model.MalformedFile, "num_experts_per_tok"},
		{"a product beyond int64", `{"model_type":"mixtral","hidden_size":16000000,"num_attention_heads":65000,"head_dim":16000000,"vocab_size":200000000,"num_hidden_layers":4096,"intermediate_size":16000000,"num_local_experts":65000,"num_experts_per_tok":4}`, model.MalformedFile, "config.json"},
		{"not an object", `[]`, model.MalformedFile, "config.json"},
		{"null", `null`, model.MalformedFile, "config.json"},
		{"nothing", ``, model.MalformedFile, "config.json"},
		{"two objects", `{}{}`, model.MalformedFile, "config.json"},
		{"deep nesting", `{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, model.MalformedFile, "config.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := fails(t, c.config)
			if e.Code != c.code {
				t.Errorf("code %s, want %s: %v", e.Code, c.code, e)
			}
			for f := range strings.SplitSeq(c.fields, ",") {
				if !strings.Contains(e.Field, f) {
					t.Errorf("field %q does not name %s: %v", e.Field, f, e)
				}
			}
		})
	}
	if e := fails(t, `"`+strings.Repeat("x", MaxSize)+`"`); e.Code != model.MalformedFile {
		t.Errorf("too large: %v", e)
	}
}

// TestAssumed: an unknown causal model with nothing unusual is read as a
// standard decoder, and says so.
func TestAssumed(t *testing.T) {
	m := parse(t, `{"model_type":"nova","architectures":["NovaForCausalLM"],"hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,
		"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,"torch_dtype":"bfloat16","max_position_embeddings":131072,
		"rms_norm_eps":1e-5,"initializer_range":0.02,"bos_token_id":1,"hidden_act":"silu","use_cache":true}`)
	if got := m.Count().Total; got != 8_030_261_248 {
		t.Errorf("%d parameters", got)
	}
	said := false
	for _, f := range m.Facts {
		said = said || strings.HasPrefix(f.From, "assumed")
	}
	if !said || m.Arch != "" {
		t.Errorf("assumption is not said: %v", m.Facts)
	}
}

// TestFacts: each value that memory depends on says where it was read, and
// what a class supplies is marked as its default.
func TestFacts(t *testing.T) {
	m := parse(t, string(catalogue(t)["google/gemma-3-27b-it"].Config))
	from := map[string]string{}
	for _, f := range m.Facts {
		if from[f.Field] == "" {
			from[f.Field] = f.From
		}
	}
	for field, want := range map[string]string{
		"num_hidden_layers":      "config.json:text_config.num_hidden_layers",
		"vocab_size":             "class default of gemma3_text",
		"tie_word_embeddings":    "class default of gemma3_text",
		"sliding_window_pattern": "class default of gemma3_text",
		"sliding_layers":         "rule of gemma3_text",
	} {
		if from[field] != want {
			t.Errorf("%s is from %q, want %q", field, from[field], want)
		}
	}
	if m.Type != "gemma3" || m.Arch != "gemma3" || m.Architecture != "Gemma3ForConditionalGeneration" || !m.Tied || m.DType != "BF16" {
		t.Errorf("%s %s %s tied %v %s", m.Type, m.Arch, m.Architecture, m.Tied, m.DType)
	}
}

// TestContext: YaRN over a given original length reaches that length times
// its factor; configurations that already ship the product are not multiplied
// again.
func TestContext(t *testing.T) {
	body := `,"num_hidden_layers":1,"intermediate_size":128`
	for _, c := range []struct {
		config string
		want   int64
	}{
		{`{` + llamaHead + body + `}`, 512},
		{`{` + llamaHead + body + `,"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":32768}}`, 131072},
		{`{` + llamaHead + body + `,"max_position_embeddings":163840,"rope_scaling":{"type":"yarn","factor":40,"original_max_position_embeddings":4096}}`, 163840},
		{`{` + llamaHead + body + `,"max_position_embeddings":131072,"rope_scaling":{"rope_type":"llama3","factor":8.0,"original_max_position_embeddings":8192}}`, 131072},
		{`{` + llamaHead + body + `,"max_position_embeddings":8192,"model_max_length":131072}`, 131072},
		{`{` + llamaHead + body + `,"max_position_embeddings":8192,"model_max_length":1e30}`, 8192},
	} {
		if got := parse(t, c.config).Context; got != c.want {
			t.Errorf("%s: context %d, want %d", c.config, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	n := 0
	for _, p := range catalogue(f) {
		if n++; n%8 == 0 {
			f.Add([]byte(p.Config))
		}
	}
	f.Add([]byte(`{` + llamaHead + `,"num_hidden_layers":[1,{"a":2}],"quantization_config":{"quant_method":"gptq","bits":4}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			var e *model.Error
			if !errors.As(err, &e) || e.Code == "" {
				t.Fatalf("not a coded error: %v", err)
			}
			return
		}
		p := m.Count()
		if p.Total < 0 || p.Active < 0 || p.Active > p.Total || p.MTP < 0 {
			t.Fatalf("impossible counts %+v", p)
		}
		for i := range m.Layers {
			for _, x := range m.Layers[i].Mixers {
				for _, s := range x.AppendStores(nil, 2) {
					if s.Entries(4096) < 0 || s.Elems < 0 {
						t.Fatalf("impossible store %+v", s)
					}
				}
			}
		}
		if _, err := json.Marshal(m.Facts); err != nil {
			t.Fatal(err)
		}
	})
}
