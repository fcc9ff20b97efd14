package lookup

import (
	"fmt"
	"path/filepath"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// named are the tensors of layers by the names that a class stores them under:
// each line is a name with a place for the layer's number, rows and columns.
type named struct {
	name    string
	out, in int64
}

func layersOf(n int, rows ...named) []stored {
	var out []stored
	for i := range n {
		for _, r := range rows {
			shape := []int64{r.out, r.in}
			if r.out == 0 {
				shape = shape[1:]
			}
			out = append(out, stored{fmt.Sprintf(r.name, i), "F32", shape})
		}
	}
	return out
}

// sidedLayer is a layer of width h and network ff: four projections, two
// matrices and two norms, all with biases, under the given module names.
func sidedLayer(prefix string, h, ff int64, q, k, v, o, up, down, ln1, ln2 string) []named {
	var out []named
	for _, m := range []struct {
		name    string
		out, in int64
	}{{q, h, h}, {k, h, h}, {v, h, h}, {o, h, h}, {up, ff, h}, {down, h, ff}} {
		out = append(out, named{prefix + m.name + ".weight", m.out, m.in}, named{prefix + m.name + ".bias", 0, m.out})
	}
	for _, n := range []string{ln1, ln2} {
		out = append(out, named{prefix + n + ".weight", 0, h}, named{prefix + n + ".bias", 0, h})
	}
	return out
}

// TestEncoderCheckpoints: what is stored is what counts, whatever the modules
// are called, for models that have no decoder.
func TestEncoderCheckpoints(t *testing.T) {
	bert := []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense", "attention.output.LayerNorm", "output.LayerNorm"}
	clip := []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2", "layer_norm1", "layer_norm2"}
	bart := []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2", "self_attn_layer_norm", "final_layer_norm"}
	speech := []string{"attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj", "feed_forward.intermediate_dense", "feed_forward.output_dense", "layer_norm", "final_layer_norm"}
	distil := []string{"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2", "sa_layer_norm", "output_layer_norm"}
	layer := func(prefix string, n []string) []named {
		return sidedLayer(prefix, 64, 128, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7])
	}
	const sizes = `"hidden_size":64,"intermediate_size":128,"num_attention_heads":4,"num_hidden_layers":2`
	for _, c := range []struct {
		name, config string
		tensors      []stored
	}{
		{"bert", `{"model_type":"bert","vocab_size":100,` + sizes + `}`,
			append(layersOf(2, layer("bert.encoder.layer.%d.", bert)...), stored{"bert.embeddings.word_embeddings.weight", "F32", []int64{100, 64}})},
		{"sentence-transformers", `{"model_type":"xlm-roberta","max_position_embeddings":514,"vocab_size":100,` + sizes + `}`,
			append(layersOf(2, layer("encoder.layer.%d.", bert)...), stored{"embeddings.word_embeddings.weight", "F32", []int64{100, 64}})},
		{"distilbert", `{"model_type":"distilbert","dim":64,"hidden_dim":128,"n_heads":4,"n_layers":2,"vocab_size":100}`,
			append(layersOf(2, layer("distilbert.transformer.layer.%d.", distil)...), stored{"distilbert.embeddings.word_embeddings.weight", "F32", []int64{100, 64}})},
		{"vit", `{"model_type":"vit",` + sizes + `}`, layersOf(2, layer("vit.encoder.layer.%d.", bert)...)},
		{"wav2vec2", `{"model_type":"wav2vec2",` + sizes + `}`, layersOf(2, layer("wav2vec2.encoder.layers.%d.", speech)...)},
		{"clip", `{"model_type":"clip","text_config":{"model_type":"clip_text_model","vocab_size":100,` + sizes + `},"vision_config":{` + sizes + `}}`,
			append(layersOf(2, layer("text_model.encoder.layers.%d.", clip)...), layersOf(2, layer("vision_model.encoder.layers.%d.", clip)...)...)},
		{"bart", `{"model_type":"bart","d_model":64,"encoder_layers":2,"decoder_layers":2,"encoder_attention_heads":4,"decoder_attention_heads":4,"encoder_ffn_dim":128,"decoder_ffn_dim":128,"vocab_size":100}`,
			append(layersOf(2, layer("model.encoder.layers.%d.", bart)...), layersOf(2, layer("model.decoder.layers.%d.", bart)...)...)},
		{"t5", `{"model_type":"t5","d_model":64,"d_ff":128,"d_kv":16,"num_heads":4,"num_layers":2,"vocab_size":100}`,
			append(layersOf(2, named{"encoder.block.%d.layer.0.SelfAttention.q.weight", 64, 64}), layersOf(2, named{"decoder.block.%d.layer.0.SelfAttention.q.weight", 64, 64})...)},
		{"albert", `{"model_type":"albert","vocab_size":100,"embedding_size":32,` + sizes + `}`,
			layersOf(1, named{"albert.encoder.albert_layer_groups.0.albert_layers.%d.attention.query.weight", 64, 64})},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "config.json"), c.config)
		sparse(t, filepath.Join(dir, "model.safetensors"), c.tensors)
		var want int64
		for _, x := range c.tensors {
			n := int64(1)
			for _, d := range x.shape {
				n *= d
			}
			want += n
		}
		r, err := resolve(dir)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := r.Model.Count().Total; got != want || r.StoredBytes != 4*want || !r.Model.Exact {
			t.Errorf("%s: %d parameters in %d bytes, stored are %d", c.name, got, r.StoredBytes, want)
		}
		res, err := calc.Plan(calc.Request{Model: r.Model, Engine: "ideal", Load: engine.Load{ContextTokens: 64}})
		if err != nil || res.Totals.Weights != calc.Bytes(4*want) || (res.Totals.KVCache > 0) != r.Model.EncDec {
			t.Errorf("%s: %+v, %v", c.name, res, err)
		}
	}
}
