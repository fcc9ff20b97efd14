package hfconfig

import (
	"regexp"
	"sort"
	"strings"

	"hwledger/calc/model"
)

// modeloptMethods are ModelOpt's names of schemes.
var modeloptMethods = map[string]string{
	"FP8": "fp8-tensor", "FP8_PER_CHANNEL_PER_TOKEN": "fp8-channel", "FP8_PB_WO": "fp8-block", "NVFP4": "nvfp4",
	"W4A16_AWQ": "awq", "NVFP4_AWQ": "nvfp4", "W4A8_AWQ": "awq", "W4A16_NVFP4": "nvfp4", "W4A8_NVFP4_FP8": "nvfp4", "INT8_SQ": "int8",
	"W8A8_SQ_PER_CHANNEL": "int8", "W8A16": "w8a16", "W4A16": "w4a16", "MXFP8": "mxfp8", "MXFP4": "mxfp4-pack-quantized",
}

// modelopt reads quant_algo. A mixed checkpoint lists the algorithm of each
// module: the one of most modules is the method.
func (c *cfg) modelopt(q *model.Quantization) {
	algo := strings.ToUpper(c.str("quant_algo"))
	if algo == "MIXED_PRECISION" {
		c.mixedModelopt(q)
		return
	}
	m, ok := modeloptMethods[algo]
	if !ok {
		c.fail(model.UnsupportedArchitecture, "quant_algo", "%q is not a known scheme", algo)
		return
	}
	q.Method, q.GroupSize = m, max(0, c.group())
	switch {
	case m == "nvfp4":
		q.Bits, q.GroupSize = 4, 16
	case m == "fp8-block":
		q.Bits, q.BlockSize = 8, [2]int64{128, 128}
	case strings.HasPrefix(m, "fp8"):
		q.Bits = 8
	}
}

var expertModule = regexp.MustCompile(`(?i)expert`)

// expertOnly matches targets that speak of routed experts alone.
func expertOnly(target string) bool {
	return expertModule.MatchString(target) && !strings.Contains(target, "shared_expert")
}

func (c *cfg) mixedModelopt(q *model.Quantization) {
	if strings.EqualFold(c.str("quant_method"), "fp8") {
		readFP8(c, q)
		return
	}
	layers := c.child("quantized_layers")
	if layers == nil {
		readCompressedTensors(c, q)
		return
	}
	quiet := len(c.facts)
	q.Modules = make(map[string]string, len(layers.obj))
	for path := range layers.obj {
		o := layers.child(path)
		if o == nil {
			return
		}
		algo := strings.ToUpper(o.str("quant_algo"))
		m, ok := modeloptMethods[algo]
		if !ok {
			o.fail(model.UnsupportedArchitecture, "quant_algo", "%q is not a known scheme", algo)
			return
		}
		q.Modules[path] = m
	}
	c.facts = c.facts[:quiet]
	q.Method = mostFrequent(q.Modules)
}

// mostFrequent returns the method of most modules.
func mostFrequent(modules map[string]string) string {
	count := map[string]int{}
	for _, m := range modules {
		count[m]++
	}
	return most(count)
}

// most returns the most frequent key, the first in order among equals.
func most(count map[string]int) string {
	keys := make([]string, 0, len(count))
	for k := range count {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if count[keys[i]] != count[keys[j]] {
			return count[keys[i]] > count[keys[j]]
		}
		return keys[i] < keys[j]
	})
	if len(keys) == 0 {
		return ""
	}
	return keys[0]
}

// readCompressedTensors reads config_groups: each says what its targets are
// and how their weights are stored. Where there are several, the one for
// experts is kept apart and the first other one is the method.
func readCompressedTensors(s *cfg, q *model.Quantization) {
	groups := s.child("config_groups")
	if groups == nil {
		s.fail(model.UnsupportedArchitecture, "config_groups", "missing: cannot tell how the weights are stored")
		return
	}
	names := make([]string, 0, len(groups.obj))
	for n := range groups.obj {
		names = append(names, n)
	}
	sort.Strings(names)
	format := s.str("format")
	for _, n := range names {
		g := groups.child(n)
		if g == nil {
			return
		}
		w := g.child("weights")
		if w == nil {
			continue
		}
		var one model.Quantization
		if own := g.str("format"); own != "" {
			format = own
		}
		w.groupMethod(&one, format)
		if len(names) > 1 {
			g.listModules(q, one.Method)
		}
		switch {
		case len(names) > 1 && g.forExperts():
			q.Experts = one.Method
		case q.Method == "":
			q.Method, q.Bits, q.GroupSize, q.BlockSize, q.Symmetric = one.Method, one.Bits, one.GroupSize, one.BlockSize, one.Symmetric
		}
	}
	if q.Method == "" {
		q.Method, q.Experts = q.Experts, ""
	}
	if len(q.Modules) > 0 {
		q.Method, q.Experts = mostFrequent(q.Modules), ""
	}
	if q.Experts == q.Method {
		q.Experts = ""
	}
}

// listModules records the targets that are module paths, not kinds of layers
// or patterns.
func (c *cfg) listModules(q *model.Quantization, method string) {
	for _, t := range c.list("targets") {
		s, ok := t.(string)
		if !ok || strings.HasPrefix(s, "re:") || !strings.Contains(s, ".") && s != "lm_head" {
			continue
		}
		if q.Modules == nil {
			q.Modules = map[string]string{}
		}
		q.Modules[s] = method
	}
}

// forExperts reports whether the group is for feed-forward matrices, which is
// where mixed checkpoints store experts in fewer bits.
func (c *cfg) forExperts() bool {
	hits, l := 0, c.list("targets")
	for _, t := range l {
		if s, ok := t.(string); ok && (expertOnly(s) || strings.Contains(s, "ffn") || strings.Contains(s, "mlp.experts")) {
			hits++
		}
	}
	return hits > 0 && hits*2 > len(l)
}

// groupMethod names a group's weights by type, bits and strategy.
func (c *cfg) groupMethod(q *model.Quantization, format string) {
	q.Bits, q.GroupSize, q.Symmetric = c.int(0, "num_bits"), max(0, c.group()), c.bool(true, "symmetric")
	float, strategy := c.str("type") != "int", c.str("strategy")
	switch {
	case float && q.Bits == 4 && (strings.HasPrefix(format, "mxfp4") || q.GroupSize == 32):
		q.Method, q.GroupSize = "mxfp4-pack-quantized", 32
	case float && q.Bits == 4:
		q.Method, q.GroupSize = "nvfp4", 16
	case float && q.Bits == 8 && strategy == "block":
		q.Method, q.BlockSize = "fp8-block", [2]int64{128, 128}
		if b := c.ints("block_structure"); len(b) == 2 {
			q.BlockSize = [2]int64{b[0], b[1]}
		}
		q.GroupSize = 0
	case float && q.Bits == 8 && strategy == "channel":
		q.Method = "fp8-channel"
	case float && q.Bits == 8 && q.GroupSize == 32:
		q.Method = "mxfp8"
	case float && q.Bits == 8:
		q.Method = "fp8-tensor"
	case !float && q.Bits == 8 && (strategy == "channel" || strategy == "tensor" || strategy == ""):
		q.Method = "int8"
	case !float && q.Bits > 0 && q.Bits <= 8:
		q.Method = "w4a16"
		if q.Bits == 8 {
			q.Method = "w8a16"
		}
	default:
		c.fail(model.UnsupportedArchitecture, "num_bits", "%d-bit weights of this kind are not known", q.Bits)
	}
}

// kvCacheType reads the cache type that the checkpoint asks for.
func (c *cfg) kvCacheType() string {
	s := c.child("quantization_config", "compression_config")
	if s == nil {
		return ""
	}
	if inner := s.child("quantization"); inner != nil {
		s = inner
	}
	t := strings.ToLower(s.textOr("kv_cache_quant_algo"))
	if t == "" {
		t = strings.ToLower(s.textOr("kv_cache_scheme"))
	}
	if t == "" {
		if _, isObject := s.obj["kv_cache_scheme"].(map[string]any); isObject {
			k := s.child("kv_cache_scheme")
			bits := k.int(8, "num_bits")
			switch kind := k.str("type"); {
			case bits == 8 && kind == "int":
				t = "int8"
			case bits == 8:
				t = "fp8"
			case bits == 4 && kind != "int":
				t = "nvfp4"
			}
		}
	}
	if t == "none" || t == "auto" {
		t = ""
	}
	if t != "" {
		c.note("kv_cache_dtype", t, "config.json:"+strings.TrimSuffix(s.path, "."))
	}
	return t
}

// textOr returns the text under name, "" for anything else.
func (c *cfg) textOr(name string) string {
	v, _, _ := c.get(name)
	s, _ := v.(string)
	return s
}
