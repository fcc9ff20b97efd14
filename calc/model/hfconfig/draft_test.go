package hfconfig

import (
	"errors"
	"testing"

	"hwledger/calc/model"
)

// Whatever a configuration holds, the parsers of other forms than config.json
// return a model or a *model.Error.
func FuzzOtherForms(f *testing.F) {
	f.Add([]byte(`{"dim":64,"n_layers":2,"hidden_dim":128,"n_heads":4,"vocab_size":100,"moe":{"num_experts":8,"num_experts_per_tok":2}}`))
	f.Add([]byte(`{"architectures":["LlamaForCausalLMEagle3"],"hidden_size":64,"intermediate_size":128,"num_attention_heads":4,"num_hidden_layers":1,"vocab_size":100,"draft_vocab_size":50}`))
	f.Add([]byte(`{"speculators_model_type":"eagle3","transformer_layer_config":{"hidden_size":64}}`))
	f.Add([]byte(`{"model_type":"wav2vec2","conv_dim":[1],"conv_kernel":[1,2]}`))
	f.Add([]byte(`{"model_type":"clip","text_config":{"num_hidden_layers":1},"vision_config":{"patch_size":0}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		check := func(m *model.Model, err error) {
			if e := new(model.Error); err == nil && m == nil || err != nil && !errors.As(err, &e) {
				t.Errorf("%v, %v", m, err)
			}
		}
		check(ParseDraft(raw))
		check(Parse(raw))
		if config, err := FromMistral(raw); err == nil {
			check(Parse(config))
		}
	})
}
