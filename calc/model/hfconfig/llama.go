package hfconfig

import "hwledger/calc/model"

func init() {
	register("llama", llama, nil)
	register("Yi", llama, nil)
	register("aquila", llama, nil)
	register("xverse", llama, nil)
	register("baichuan", baichuan, nil)
	register("internlm", llama, defaults{"bias": true})
	register("internlm2", llama, nil)
	register("internlm3", llama, nil)
	register("exaone", llama, nil)
	register("seed_oss", seedOSS, defaults{"attention_bias": true})
	register("smollm3", llama, defaults{"tie_word_embeddings": true})
	register("granite", llama, nil)
	register("minicpm", minicpm, defaults{"tie_word_embeddings": true})
	register("ernie4_5", llama, defaults{"tie_word_embeddings": true})
	register("mistral", mistral, nil)
	register("ministral3", mistral, nil)
	register("mistral3", mistral, nil)
	register("orion", orion, nil)
	register("apertus", apertus, nil)
	register("arcee", arcee, nil)
	register("nemotron", nemotron, nil)
	register("hunyuan_v1_dense", hunyuanDense, nil)
	register("mimo", mimo, defaults{"attention_bias": true})
	registerClass("Baichuan", "baichuan")
	registerClass("MiniCPM", "minicpm")
	registerClass("HunYuanDenseV1", "hunyuan_v1_dense")
}

// arches are the GGUF names of families that share a function with another.
var arches = map[string]string{
	"baichuan": "baichuan", "xverse": "xverse", "internlm2": "internlm2", "exaone": "exaone",
	"seed_oss": "seed_oss", "smollm3": "smollm3", "granite": "granite", "minicpm": "minicpm",
	"ernie4_5": "ernie4_5", "ministral3": "mistral3", "mistral3": "mistral3",
	"hunyuan_v1_dense": "hunyuan-dense", "mimo": "",
}

// llama is the plain decoder: grouped-query attention, gated network, RMS
// norms before each, biases only when asked for.
func llama(c *cfg) (*model.Model, error) { return llamaLike(c).build() }

func llamaLike(c *cfg) *decoder {
	arch, ok := arches[c.modelType]
	if !ok {
		arch = "llama"
	}
	d := newDecoder(c, arch)
	b := c.bool(false, "attention_bias", "qkv_bias", "bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.ffn.Bias = c.bool(false, "mlp_bias")
	return d
}

// baichuan stores queries, keys and values in one matrix. Heads are never
// grouped.
func baichuan(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.attn.QKVBias, d.attn.OutBias = false, false
	return d.build()
}

// mistral slides over every layer when sliding_window is set; releases after
// the first set it to null.
func mistral(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.slideBy(c.window(), always)
	return d.build()
}

// seedOSS says separately whether the output projection has a bias.
func seedOSS(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.attn.OutBias = c.bool(false, "attention_out_bias")
	return d.build()
}

// minicpm is llama with scaled residuals; its MoE release routes every layer
// through experts of the dense width.
func minicpm(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	if c.int(0, "num_experts") > 0 {
		d.moe = d.readMoE()
	}
	return d.build()
}

// orion normalises with LayerNorm.
func orion(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch, d.norm = "orion", layerNorm
	return d.build()
}

// apertus normalises queries and keys by head; its activation (xIELU) learns
// two scalars in each layer and has no gate.
func apertus(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch = "apertus"
	d.attn.Norms = model.HeadQKNorm
	d.ffn.Gated = false
	d.perLayer = func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
		return append(dst, model.Vec("xielu.alpha", model.Vector, 2))
	}
	return d.build()
}

// arcee is llama with a squared-ReLU network, which has no gate.
func arcee(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch, d.ffn.Gated = "arcee", false
	return d.build()
}

// nemotron normalises with LayerNorm and has a squared-ReLU network.
func nemotron(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch, d.norm, d.ffn.Gated = "nemotron", layerNorm, false
	return d.build()
}

// hunyuanDense normalises queries and keys by head when use_qk_norm is set.
func hunyuanDense(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	if c.bool(false, "use_qk_norm") {
		d.attn.Norms = model.HeadQKNorm
	}
	return d.build()
}

// mimo is Qwen2 with multi-token-prediction layers that share the trunk's
// embedding and head.
func mimo(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.attn.OutBias = false
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers"))
	if c.bool(false, "use_sliding_window") {
		d.slideBy(c.window(), after(c.int(0, "max_window_layers")))
	}
	return d.build()
}
