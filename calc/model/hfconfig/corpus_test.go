package hfconfig

import (
	"encoding/json"
	"testing"
)

func TestLlama31(t *testing.T) {
	m, err := Parse([]byte(`{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,"torch_dtype":"bfloat16","max_position_embeddings":131072}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Count().Total; got != 8030261248 {
		t.Errorf("total = %d", got)
	}
	b, _ := json.Marshal(m.Facts)
	t.Log(string(b))
}
