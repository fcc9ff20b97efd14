package safetensors

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// checkpoint lists the tensors of a repository as its index names them.
type checkpoint struct{ tensors []Tensor }

func (c *checkpoint) add(name, dtype string, shape ...int64) {
	t := Tensor{Name: name, DType: dtype, Shape: shape}
	t.End = t.Elems() * int64(dtypeBits[dtype]) / 8
	c.tensors = append(c.tensors, t)
}

func (c *checkpoint) bytes() int64 {
	var n int64
	for i := range c.tensors {
		n += c.tensors[i].Bytes()
	}
	return n
}

// dims are the sizes of a plain decoder.
type dims struct {
	layers          int
	h, heads, kv, d int64
	ffn, vocab      int64
	prefix          string
}

// decoder adds the tensors of a Llama-like model in one type.
func (c *checkpoint) decoder(x dims, dtype string) {
	c.add(x.prefix+"model.embed_tokens.weight", dtype, x.vocab, x.h)
	for i := range x.layers {
		p := fmt.Sprintf("%smodel.layers.%d.", x.prefix, i)
		c.add(p+"input_layernorm.weight", dtype, x.h)
		c.add(p+"post_attention_layernorm.weight", dtype, x.h)
		c.add(p+"self_attn.q_proj.weight", dtype, x.heads*x.d, x.h)
		c.add(p+"self_attn.k_proj.weight", dtype, x.kv*x.d, x.h)
		c.add(p+"self_attn.v_proj.weight", dtype, x.kv*x.d, x.h)
		c.add(p+"self_attn.o_proj.weight", dtype, x.h, x.heads*x.d)
		c.add(p+"mlp.gate_proj.weight", dtype, x.ffn, x.h)
		c.add(p+"mlp.up_proj.weight", dtype, x.ffn, x.h)
		c.add(p+"mlp.down_proj.weight", dtype, x.h, x.ffn)
	}
	c.add(x.prefix+"model.norm.weight", dtype, x.h)
}

func parse(t *testing.T, config string) *model.Model {
	t.Helper()
	m, err := hfconfig.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func storedBytes(m *model.Model) int64 {
	var n int64
	for i := range m.Tensors {
		n += m.Tensors[i].Bytes
	}
	return n
}

func get(t *testing.T, m *model.Model, layer int, name string) *model.Tensor {
	t.Helper()
	for i := range m.Tensors {
		if x := &m.Tensors[i]; x.Layer == layer && x.Name == name && x.Group == model.Text {
			return x
		}
	}
	t.Fatalf("no tensor %s in layer %d", name, layer)
	return nil
}

// noStrangers fails when a matrix of the text model was not recognised.
func noStrangers(t *testing.T, m *model.Model) {
	t.Helper()
	for i := range m.Tensors {
		if x := &m.Tensors[i]; x.Group == model.Text && (strings.Contains(x.Name, "proj") || strings.Contains(x.Name, "layernorm")) {
			t.Errorf("%s of layer %d was not recognised", x.Name, x.Layer)
		}
	}
}

const devstral = `{"architectures":["MistralForCausalLM"],"model_type":"mistral","hidden_size":5120,"intermediate_size":32768,"num_hidden_layers":40,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":128,"vocab_size":131072,"tie_word_embeddings":false,"torch_dtype":"bfloat16"}`

var devstralDims = dims{layers: 40, h: 5120, heads: 32, kv: 8, d: 128, ffn: 32768, vocab: 131072}

// mistralai/Devstral-Small-2507: its index prints 23572403200 parameters and
// 47144806400 bytes.
func TestAttachDense(t *testing.T) {
	var c checkpoint
	c.decoder(devstralDims, "BF16")
	c.add("lm_head.weight", "BF16", 131072, 5120)
	m := parse(t, devstral)
	if err := Attach(m, c.tensors, false); err != nil {
		t.Fatal(err)
	}
	if got := m.Count().Total; got != 23572403200 {
		t.Errorf("%d parameters, the index prints 23572403200", got)
	}
	if got := storedBytes(m); got != 47144806400 || Stored(c.tensors)["BF16"] != got {
		t.Errorf("%d bytes, the index prints 47144806400", got)
	}
	if !m.Exact || m.Format != model.FormatSafetensors || m.Tied {
		t.Errorf("exact %v, format %v, tied %v", m.Exact, m.Format, m.Tied)
	}
	if x := get(t, m, 7, "attn_k.weight"); x.Split != model.ByKVHead || x.Type != "BF16" || x.Bytes != 8*128*5120*2 {
		t.Errorf("got %+v", *x)
	}
	noStrangers(t, m)
}

// A head stored although the configuration ties it is on disk but not in
// memory: Qwen3-0.6B publishes 751632384 parameters and has 596049920.
func TestAttachTiedHead(t *testing.T) {
	const config = `{"architectures":["Qwen3ForCausalLM"],"model_type":"qwen3","hidden_size":1024,"intermediate_size":3072,"num_hidden_layers":28,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"vocab_size":151936,"tie_word_embeddings":true,"torch_dtype":"bfloat16"}`
	var c checkpoint
	c.decoder(dims{layers: 28, h: 1024, heads: 16, kv: 8, d: 128, ffn: 3072, vocab: 151936}, "BF16")
	for i := range 28 {
		c.add(fmt.Sprintf("model.layers.%d.self_attn.q_norm.weight", i), "BF16", 128)
		c.add(fmt.Sprintf("model.layers.%d.self_attn.k_norm.weight", i), "BF16", 128)
	}
	c.add("lm_head.weight", "BF16", 151936, 1024)
	if c.bytes() != 2*751632384 {
		t.Fatalf("the files hold %d bytes", c.bytes())
	}
	m := parse(t, config)
	if err := Attach(m, c.tensors, true); err != nil {
		t.Fatal(err)
	}
	if got, n := m.Count().Total, storedBytes(m); got != 596049920 || n != 2*596049920 || !m.Tied {
		t.Errorf("%d parameters in %d bytes, tied %v; want 596049920 in twice as many, tied", got, n, m.Tied)
	}
	noStrangers(t, m)
}

// Where a configuration is silent about tying, the files decide.
func TestAttachHeadDecides(t *testing.T) {
	config := strings.Replace(devstral, `"tie_word_embeddings":false,`, "", 1)
	var c checkpoint
	c.decoder(devstralDims, "BF16")
	m := parse(t, config)
	if err := Attach(m, c.tensors, false); err != nil {
		t.Fatal(err)
	}
	if !m.Tied || m.Count().Total != 23572403200-131072*5120 {
		t.Errorf("without a stored head: tied %v, %d parameters", m.Tied, m.Count().Total)
	}
}

// openai/gpt-oss-20b: its index prints 13761264768 bytes, all types together,
// for 20914757184 parameters.
func TestAttachMXFP4(t *testing.T) {
	const config = `{"architectures":["GptOssForCausalLM"],"model_type":"gpt_oss","attention_bias":true,"hidden_size":2880,"intermediate_size":2880,"num_hidden_layers":24,"num_attention_heads":64,"num_key_value_heads":8,"head_dim":64,"num_local_experts":32,"num_experts_per_tok":4,"sliding_window":128,"vocab_size":201088,"tie_word_embeddings":false,"quantization_config":{"quant_method":"mxfp4","modules_to_not_convert":["model.layers.*.self_attn","model.layers.*.mlp.router","model.embed_tokens","lm_head"]}}`
	const h, e, n = 2880, 32, 24
	var c checkpoint
	c.add("model.embed_tokens.weight", "BF16", 201088, h)
	c.add("lm_head.weight", "BF16", 201088, h)
	c.add("model.norm.weight", "BF16", h)
	for i := range n {
		p := fmt.Sprintf("model.layers.%d.", i)
		c.add(p+"input_layernorm.weight", "BF16", h)
		c.add(p+"post_attention_layernorm.weight", "BF16", h)
		for _, x := range []struct {
			name string
			out  int64
		}{{"q", 4096}, {"k", 512}, {"v", 512}} {
			c.add(p+"self_attn."+x.name+"_proj.weight", "BF16", x.out, h)
			c.add(p+"self_attn."+x.name+"_proj.bias", "BF16", x.out)
		}
		c.add(p+"self_attn.o_proj.weight", "BF16", h, 4096)
		c.add(p+"self_attn.o_proj.bias", "BF16", h)
		c.add(p+"self_attn.sinks", "BF16", 64)
		c.add(p+"mlp.router.weight", "BF16", e, h)
		c.add(p+"mlp.router.bias", "BF16", e)
		c.add(p+"mlp.experts.gate_up_proj_blocks", "U8", e, 2*h, 90, 16)
		c.add(p+"mlp.experts.gate_up_proj_scales", "U8", e, 2*h, 90)
		c.add(p+"mlp.experts.gate_up_proj_bias", "BF16", e, 2*h)
		c.add(p+"mlp.experts.down_proj_blocks", "U8", e, h, 90, 16)
		c.add(p+"mlp.experts.down_proj_scales", "U8", e, h, 90)
		c.add(p+"mlp.experts.down_proj_bias", "BF16", e, h)
	}
	if c.bytes() != 13761264768 {
		t.Fatalf("the files hold %d bytes, the index prints 13761264768", c.bytes())
	}
	m := parse(t, config)
	if err := Attach(m, c.tensors, false); err != nil {
		t.Fatal(err)
	}
	if got, n := m.Count().Total, storedBytes(m); got != 20914757184 || n != 13761264768 {
		t.Errorf("%d parameters in %d bytes, want 20914757184 in 13761264768", got, n)
	}
	// 4.25 bits for each weight of an expert matrix.
	if x := get(t, m, 0, "ffn_up_exps.weight"); x.Bytes != e*h*h*17/32 || x.Type != "U8" || x.Split != model.ByColumn {
		t.Errorf("got %+v", *x)
	}
	noStrangers(t, m)
}

// Experts stored one by one become stacks: the index of a pruned Qwen3.5 MoE
// (180 experts) prints 25091371648 parameters and 50182743296 bytes.
func TestAttachExperts(t *testing.T) {
	const config = `{"model_type":"qwen3_5_moe","tie_word_embeddings":false,"text_config":{"model_type":"qwen3_5_moe_text","hidden_size":2048,"num_hidden_layers":40,"num_attention_heads":16,"num_key_value_heads":2,"head_dim":256,"attn_output_gate":true,"full_attention_interval":4,"linear_conv_kernel_dim":4,"linear_key_head_dim":128,"linear_num_key_heads":16,"linear_num_value_heads":32,"linear_value_head_dim":128,"moe_intermediate_size":512,"shared_expert_intermediate_size":512,"num_experts":180,"num_experts_per_tok":8,"vocab_size":248320,"dtype":"bfloat16"}}`
	var c checkpoint
	c.add("lm_head.weight", "BF16", 248320, 2048)
	c.add("model.language_model.embed_tokens.weight", "BF16", 248320, 2048)
	c.add("model.language_model.norm.weight", "BF16", 2048)
	for i := range 40 {
		p := fmt.Sprintf("model.language_model.layers.%d.", i)
		c.add(p+"input_layernorm.weight", "BF16", 2048)
		c.add(p+"post_attention_layernorm.weight", "BF16", 2048)
		if i%4 == 3 {
			c.add(p+"self_attn.q_proj.weight", "BF16", 2*16*256, 2048)
			c.add(p+"self_attn.k_proj.weight", "BF16", 2*256, 2048)
			c.add(p+"self_attn.v_proj.weight", "BF16", 2*256, 2048)
			c.add(p+"self_attn.o_proj.weight", "BF16", 2048, 16*256)
			c.add(p+"self_attn.q_norm.weight", "BF16", 256)
			c.add(p+"self_attn.k_norm.weight", "BF16", 256)
		} else {
			c.add(p+"linear_attn.A_log", "BF16", 32)
			c.add(p+"linear_attn.dt_bias", "BF16", 32)
			c.add(p+"linear_attn.conv1d.weight", "BF16", 8192, 1, 4)
			c.add(p+"linear_attn.in_proj_a.weight", "BF16", 32, 2048)
			c.add(p+"linear_attn.in_proj_b.weight", "BF16", 32, 2048)
			c.add(p+"linear_attn.in_proj_qkv.weight", "BF16", 8192, 2048)
			c.add(p+"linear_attn.in_proj_z.weight", "BF16", 4096, 2048)
			c.add(p+"linear_attn.norm.weight", "BF16", 128)
			c.add(p+"linear_attn.out_proj.weight", "BF16", 2048, 4096)
		}
		c.add(p+"mlp.gate.weight", "BF16", 180, 2048)
		c.add(p+"mlp.shared_expert_gate.weight", "BF16", 1, 2048)
		for _, s := range []string{"gate", "up"} {
			c.add(p+"mlp.shared_expert."+s+"_proj.weight", "BF16", 512, 2048)
		}
		c.add(p+"mlp.shared_expert.down_proj.weight", "BF16", 2048, 512)
		for e := range 180 {
			x := fmt.Sprintf("%smlp.experts.%d.", p, e)
			c.add(x+"gate_proj.weight", "BF16", 512, 2048)
			c.add(x+"up_proj.weight", "BF16", 512, 2048)
			c.add(x+"down_proj.weight", "BF16", 2048, 512)
		}
	}
	if c.bytes() != 50182743296 {
		t.Fatalf("the files hold %d bytes, the index prints 50182743296", c.bytes())
	}
	m := parse(t, config)
	if err := Attach(m, c.tensors, false); err != nil {
		t.Fatal(err)
	}
	p := m.Count()
	if p.Total != 25091371648 || storedBytes(m) != 50182743296 {
		t.Errorf("%d parameters in %d bytes, want 25091371648 in 50182743296", p.Total, storedBytes(m))
	}
	if x := get(t, m, 3, "ffn_down_exps.weight"); x.Count != 180 || x.Active != 8 || x.Bytes != 180*512*2048*2 {
		t.Errorf("got %+v", *x)
	}
	noStrangers(t, m)
}

// Scales, zero points and group indexes belong to their matrix.
func TestAttachGPTQ(t *testing.T) {
	m := parse(t, devstral)
	var c checkpoint
	c.decoder(devstralDims, "F16")
	c.add("lm_head.weight", "F16", 131072, 5120)
	kept := c.tensors[:0]
	for _, x := range c.tensors {
		if !strings.HasSuffix(x.Name, "_proj.weight") {
			kept = append(kept, x)
		}
	}
	c.tensors = kept
	for i := range 40 {
		p := fmt.Sprintf("model.layers.%d.", i)
		for _, x := range []struct {
			name    string
			out, in int64
		}{
			{"self_attn.q_proj", 4096, 5120}, {"self_attn.k_proj", 1024, 5120}, {"self_attn.v_proj", 1024, 5120}, {"self_attn.o_proj", 5120, 4096},
			{"mlp.gate_proj", 32768, 5120}, {"mlp.up_proj", 32768, 5120}, {"mlp.down_proj", 5120, 32768},
		} {
			c.add(p+x.name+".qweight", "I32", x.in/8, x.out)
			c.add(p+x.name+".qzeros", "I32", x.in/128, x.out/8)
			c.add(p+x.name+".scales", "F16", x.in/128, x.out)
			c.add(p+x.name+".g_idx", "I32", x.in)
		}
	}
	total := c.bytes()
	if err := Attach(m, c.tensors, false); err != nil {
		t.Fatal(err)
	}
	if got := m.Count().Total; got != 23572403200 || storedBytes(m) != total {
		t.Errorf("%d parameters in %d of %d bytes", got, storedBytes(m), total)
	}
	// 4 bits and 20 bits for each group of 128, and the group indexes.
	if x := get(t, m, 1, "attn_q.weight"); x.Type != "I32" || x.Bytes != 4096*5120/2+4096*5120/128*20/8+5120*4 {
		t.Errorf("got %+v", *x)
	}
	noStrangers(t, m)
}

// What is not known is kept whole with its bytes; a fused projection is cut
// by size; rows that pad the vocabulary count.
func TestAttachUnknown(t *testing.T) {
	m := parse(t, devstral)
	var c checkpoint
	c.decoder(devstralDims, "BF16")
	c.add("lm_head.weight", "BF16", 131072, 5120)
	c.add("model.layers.3.strange.matrix", "F32", 10, 20)
	c.add("model.layers.3.self_attn.rotary_emb.inv_freq", "F32", 64)
	c.tensors[0].Shape[0], c.tensors[0].End = 131136, 131136*5120*2
	for i := range c.tensors {
		if x := &c.tensors[i]; x.Name == "model.layers.5.self_attn.q_proj.weight" {
			x.Name, x.Shape, x.End = "model.layers.5.self_attn.qkv_proj.weight", []int64{4096 + 2048, 5120}, (4096+2048)*5120*2
		}
	}
	kept := c.tensors[:0]
	for _, x := range c.tensors {
		if x.Name != "model.layers.5.self_attn.k_proj.weight" && x.Name != "model.layers.5.self_attn.v_proj.weight" {
			kept = append(kept, x)
		}
	}
	c.tensors = kept
	if err := Attach(m, c.tensors, false); err != nil {
		t.Fatal(err)
	}
	if got := storedBytes(m); got != c.bytes() {
		t.Errorf("%d of %d bytes", got, c.bytes())
	}
	if got := m.Count().Total; got != 23572403200+64*5120+200+64 {
		t.Errorf("%d parameters", got)
	}
	if x := get(t, m, 5, "attn_v.weight"); x.Bytes != 1024*5120*2 {
		t.Errorf("got %+v", *x)
	}
	if x := get(t, m, 3, "strange.matrix"); x.Part != model.Linear || x.Split != model.Replicated || x.Out != 10 || x.In != 20 {
		t.Errorf("got %+v", *x)
	}
}

func TestAttachIncomplete(t *testing.T) {
	m := parse(t, devstral)
	var c checkpoint
	c.decoder(dims{layers: 39, h: 5120, heads: 32, kv: 8, d: 128, ffn: 32768, vocab: 131072}, "BF16")
	var e *model.Error
	if err := Attach(m, c.tensors, false); !errors.As(err, &e) || e.Code != model.MalformedFile || !strings.Contains(e.Message, "layer 39") {
		t.Errorf("got %v", err)
	}
}
