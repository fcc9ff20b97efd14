package hfconfig

import (
	"strings"

	"hwledger/calc/model"
)

// dtypes maps torch type names to safetensors ones.
var dtypes = map[string]string{
	"bfloat16": "BF16", "bf16": "BF16", "float16": "F16", "fp16": "F16", "half": "F16",
	"float32": "F32", "fp32": "F32", "float": "F32", "float64": "F64",
	"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}

// dtype returns the type of unquantized weights. Without one the class
// default is float32.
func (c *cfg) dtype() string {
	v, from, ok := c.get("dtype", "torch_dtype")
	s, isText := v.(string)
	if !ok || !isText {
		c.note("dtype", "F32", "default: the configuration names none")
		return "F32"
	}
	t, known := dtypes[strings.TrimPrefix(strings.ToLower(s), "torch.")]
	if !known {
		if s == "auto" || s == "" {
			c.note("dtype", "F32", "default: the configuration names none")
			return "F32"
		}
		c.fail(model.MalformedFile, "dtype", "%q is not a known type", s)
		return ""
	}
	c.note("dtype", t, from)
	return t
}

// architectures returns the class names, the wrapper's first.
func (c *cfg) architectures() []string {
	for _, o := range []map[string]any{c.up, c.obj} {
		l, _ := o["architectures"].([]any)
		var out []string
		for _, v := range l {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// rope reads rope_scaling or rope_parameters, the latter possibly nested by
// layer type, in which case full attention decides.
func (c *cfg) rope() model.Rope {
	s := c.child("rope_scaling", "rope_parameters")
	if s == nil {
		return model.Rope{Dim: c.rotaryDim(c)}
	}
	if f := s.child("full_attention"); f != nil {
		s = f
	}
	r := model.Rope{Type: "default", Dim: c.rotaryDim(s), Axes: s.has("mrope_section")}
	if v, _, ok := s.get("rope_type", "type"); ok {
		r.Type, _ = v.(string)
	}
	if _, isList := s.obj["factor"].([]any); !isList {
		r.Factor = s.float(0, "factor")
	}
	r.OriginalMaxTokens = s.int(0, "original_max_position_embeddings")
	if r.OriginalMaxTokens == 0 {
		r.OriginalMaxTokens = c.int(0, "original_max_position_embeddings")
	}
	return r
}

// rotaryDim returns the rotated dimensions of a head, 0 for all of them. The
// share is in the configuration itself or, since transformers 5, in s.
func (c *cfg) rotaryDim(s *cfg) int64 {
	share := c.float(0, "partial_rotary_factor", "rotary_pct", "rope_pct")
	if share == 0 {
		share = s.float(0, "partial_rotary_factor")
	}
	d := c.int(0, "head_dim")
	if heads := c.int(0, "num_attention_heads"); d == 0 && heads > 0 {
		d = c.int(0, "hidden_size") / heads
	}
	if share <= 0 || share >= 1 {
		return 0
	}
	return int64(share * float64(d))
}

// context returns the longest context in tokens: the least of the usual keys,
// except that model_max_length overrides them (Cohere), and that YaRN over a
// given original length reaches that length times its factor.
func (c *cfg) context(r model.Rope) int64 {
	var n int64
	for _, k := range []string{
		"max_position_embeddings", "n_positions", "max_seq_len", "seq_length",
		"max_target_positions", "max_sequence_length", "max_seq_length", "seq_len",
	} {
		if v := c.length(k); v > 0 && (n == 0 || v < n) {
			n = v
		}
	}
	if v := c.length("model_max_length"); v > 0 {
		n = v
	}
	if r.Type == "yarn" && r.OriginalMaxTokens > 0 && r.Factor >= 1 && r.Factor <= 1<<20 {
		n = max(n, int64(float64(r.OriginalMaxTokens)*r.Factor))
	}
	return n
}

// length reads a number of tokens; sentinels far beyond any context (1e30)
// are absent.
func (c *cfg) length(key string) int64 {
	v, from, ok := c.get(key)
	if !ok {
		return 0
	}
	f := c.quiet(v)
	if f <= 0 || f > 1<<40 {
		return 0
	}
	c.note(key, int64(f), from)
	return int64(f)
}

// quiet converts a number without complaint, 0 for anything else.
func (c *cfg) quiet(v any) float64 {
	switch x := v.(type) {
	case int:
		return float64(x)
	case interface{ Float64() (float64, error) }:
		f, err := x.Float64()
		if err == nil {
			return f
		}
	}
	return 0
}
