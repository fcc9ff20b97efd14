package lookup

import (
	"errors"
	"path/filepath"
	"testing"

	"hwledger/calc"
	"hwledger/calc/model"
)

// eagle3 is the configuration of yuhuili/EAGLE3-LLaMA3.1-Instruct-8B.
const eagle3 = `{"architectures":["LlamaForCausalLMEagle3"],"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,
"num_key_value_heads":8,"num_hidden_layers":1,"vocab_size":128256,"draft_vocab_size":32000,"max_position_embeddings":2048,"torch_dtype":"float16","tie_word_embeddings":false}`

// eagle3Params: its published pytorch_model.bin has 850 MB of float16, which
// are these parameters, two maps of the vocabularies and the archive itself.
const eagle3Params = 424_689_664

func TestDraftByConfig(t *testing.T) {
	r, err := resolve(dirWith(t, map[string][]byte{"config.json": []byte(eagle3)}))
	if err != nil {
		t.Fatal(err)
	}
	m := r.Model
	if m.Role != model.RoleDraft || m.Count().Total != eagle3Params || len(m.Layers) != 1 || r.Components[0].Kind != KindDraft {
		t.Fatalf("role %q, %d parameters, %+v", m.Role, m.Count().Total, r.Components)
	}
	// One layer of 8 key/value heads of 128: 2·8·128·2 bytes for a token.
	res, err := calc.Plan(calc.Request{Model: m})
	if err != nil || res.Engine != "ideal" || res.Cache.MarginalPerToken != 4096 || res.Totals.Weights != 2*eagle3Params {
		t.Errorf("%+v, %v", res, err)
	}
	_, err = calc.Plan(calc.Request{Model: m, Engine: "vllm"})
	if e := new(model.Error); !errors.As(err, &e) || e.Code != model.UnsupportedArchitecture {
		t.Errorf("alone under vLLM: %v", err)
	}
}

func TestDraftByHeaders(t *testing.T) {
	for _, c := range []struct {
		name, config, algorithm string
		total                   int64
	}{
		{"speculators", `{"architectures":["Eagle3Speculator"],"speculators_model_type":"eagle3","draft_vocab_size":32000,"transformer_layer_config":{"model_type":"llama","hidden_size":64,"intermediate_size":128,"num_attention_heads":4,"num_key_value_heads":2,"num_hidden_layers":1,"vocab_size":100},"speculators_config":{"verifier":{"name_or_path":"Qwen/Qwen3-8B"}}}`, "eagle3", 6400},
		{"dflash", `{"architectures":["DFlashDraftModel"],"model_type":"qwen3","dflash_config":{"mask_token_id":1}}`, "dflash", 6400},
		{"medusa", `{"model_type":"medusa","medusa_num_heads":5,"base_model_name_or_path":"lmsys/vicuna-7b-v1.3"}`, "medusa", 6400},
	} {
		dir := dirWith(t, map[string][]byte{"config.json": []byte(c.config)})
		// The maps between the vocabularies are no parameters.
		sparse(t, filepath.Join(dir, "model.safetensors"), []stored{{"fc.weight", "BF16", []int64{64, 100}}, {"d2t", "I64", []int64{100}}, {"t2d", "BOOL", []int64{100}}})
		r, err := resolve(dir)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		x := r.Components[0]
		if r.Model.Count().Total != c.total || x.Parameters != c.total || x.Bytes != 2*c.total+900 || x.Details["algorithm"] != c.algorithm || !r.Model.Exact {
			t.Errorf("%s: %d parameters, %+v", c.name, r.Model.Count().Total, x)
		}
	}
}

func TestDraftWithoutHeaders(t *testing.T) {
	config := []byte(`{"medusa_num_heads":5,"medusa_num_layers":1,"base_model_name_or_path":"lmsys/vicuna-7b-v1.3"}`)
	r, err := resolve(dirWith(t, map[string][]byte{"config.json": config, "medusa_lm_head.pt": make([]byte, 5000)}))
	if err != nil || r.StoredBytes != 5000 || r.Components[0].Parameters != 0 || r.Components[0].Details["target_model"] != "lmsys/vicuna-7b-v1.3" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := resolve(dirWith(t, map[string][]byte{"config.json": config})); code(err) != model.UnsupportedArchitecture {
		t.Errorf("without weights: %v", err)
	}
}

func FuzzDraftConfig(f *testing.F) {
	f.Add([]byte(eagle3))
	f.Add([]byte(`{"medusa_num_heads":5}`))
	f.Fuzz(func(t *testing.T, raw []byte) { draftOf(raw) })
}
