package hfconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// quantization reads how the checkpoint says its weights are stored,
// nil when it says nothing. Methods are named as package quant names
// them; one it does not know keeps its own name.
func (c *cfg) quantization() *model.Quantization {
	if m := c.mlxDescription(); m != nil {
		return m.mlxQuantization()
	}
	s := c.child("quantization_config", "compression_config")
	if s == nil {
		return nil
	}
	if inner := s.child("quantization"); inner != nil { // hf_quant_config.json, pasted in
		s = inner
	}
	q := &model.Quantization{Symmetric: true, Exclude: s.excluded()}
	method := strings.ReplaceAll(strings.ToLower(s.str("quant_method")), "_", "-")
	read, known := quantMethods[method]
	switch {
	case s.str("quant_algo") != "":
		s.modelopt(q)
	case known:
		read(s, q)
	case method != "":
		q.Method = method
		q.Bits = s.int(0, "bits")
	default:
		return nil
	}
	if strings.EqualFold(c.str("expert_dtype"), "fp4") && q.Experts == "" && q.Method == "fp8-block" {
		q.Experts = "mxfp4"
	}
	if q.Method == "" {
		s.fail(model.UnsupportedArchitecture, "quant_method", "cannot tell how the weights are stored")
		return nil
	}
	c.note("quantization", describe(q), "config.json:"+strings.TrimSuffix(s.path, "."))
	return q
}

// describe is a quantization in a few words.
func describe(q *model.Quantization) string {
	out := q.Method
	if q.Bits > 0 {
		out += fmt.Sprintf(", %d bits", q.Bits)
	}
	if q.GroupSize > 0 {
		out += fmt.Sprintf(", groups of %d", q.GroupSize)
	}
	if q.Experts != "" {
		out += ", experts " + q.Experts
	}
	return out
}

// quantMethods read the descriptions of each quant_method.
var quantMethods = map[string]func(s *cfg, q *model.Quantization){
	"fp8":                readFP8,
	"fbgemm-fp8":         func(_ *cfg, q *model.Quantization) { q.Method, q.Bits = "fp8-channel", 8 },
	"gptq":               readGrouped("gptq"),
	"gptq-marlin":        readGrouped("gptq"),
	"awq":                readGrouped("awq"),
	"auto-round":         readAutoRound,
	"intel/auto-round":   readAutoRound,
	"bitsandbytes":       readBitsAndBytes,
	"compressed-tensors": readCompressedTensors,
	"mxfp4":              func(_ *cfg, q *model.Quantization) { q.Method, q.Bits, q.GroupSize = "mxfp4", 4, 32 },
	"exl2":               readExllama("exl2"),
	"exl3":               readExllama("exl3"),
	"hqq":                readHQQ,
	"modelopt":           readCompressedTensors,
}

// excluded returns the patterns of modules kept in the model's own dtype,
// under any of the names in use.
func (c *cfg) excluded() []string {
	var out []string
	for _, k := range []string{"modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules"} {
		for _, v := range c.list(k) {
			if s, ok := v.(string); ok && s != "" {
				out = append(out, s)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// readFP8: a block size makes scales per block; without one there is one scale
// for a matrix.
func readFP8(s *cfg, q *model.Quantization) {
	q.Method, q.Bits = "fp8-tensor", 8
	if b := s.ints("weight_block_size"); len(b) == 2 {
		q.Method, q.BlockSize = "fp8-block", [2]int64{b[0], b[1]}
	}
	if algo := s.str("moe_quant_algo"); algo != "" {
		// The list of exceptions then speaks of that algorithm alone.
		q.Experts, q.Exclude = modeloptMethods[strings.ToUpper(algo)], nil
	}
}

func readGrouped(method string) func(s *cfg, q *model.Quantization) {
	return func(s *cfg, q *model.Quantization) {
		q.Method, q.Bits = method, s.int(4, "bits", "w_bit")
		q.GroupSize = s.group()
		q.Symmetric = s.bool(method == "gptq", "sym") && !s.bool(false, "zero_point")
	}
}

// group reads the group size; -1 is one group for a row and given as such.
func (c *cfg) group() int64 {
	v, _, ok := c.get("group_size", "q_group_size")
	if !ok {
		return 0
	}
	n, _ := c.number(v, "group_size", "group_size")
	return max(-1, n)
}

func readAutoRound(s *cfg, q *model.Quantization) {
	method := "gptq"
	if strings.Contains(strings.ToLower(s.str("packing_format")), "awq") {
		method = "awq"
	}
	readGrouped(method)(s, q)
}

func readBitsAndBytes(s *cfg, q *model.Quantization) {
	q.Method, q.Bits = "bnb-int8", 8
	if s.bool(false, "load_in_4bit", "_load_in_4bit") {
		q.Method, q.Bits, q.GroupSize = "bnb-nf4", 4, 64
		if s.str("bnb_4bit_quant_type") == "fp4" {
			q.Method = "bnb-fp4"
		}
		if s.bool(false, "bnb_4bit_use_double_quant") {
			q.Method = "bnb-nf4-dq"
		}
	}
}

// readExllama names the average bits for a weight, which need not be whole.
func readExllama(version string) func(s *cfg, q *model.Quantization) {
	return func(s *cfg, q *model.Quantization) {
		q.Method = version
		if bits := s.float(0, "bits"); bits > 0 && bits <= 16 {
			q.Method += "-" + strconv.FormatFloat(bits, 'f', -1, 64) + "bpw"
			if head := s.int(0, "head_bits"); head > 0 {
				q.Method += "-h" + strconv.FormatInt(head, 10)
			}
		}
	}
}

func readHQQ(s *cfg, q *model.Quantization) {
	q.Method, q.Bits, q.GroupSize = "hqq", 4, 64
	if qc := s.child("quant_config"); qc != nil {
		if w := qc.child("weight_quant_params"); w != nil {
			q.Bits, q.GroupSize = w.int(4, "nbits"), w.int(64, "group_size")
		}
	}
	q.Exclude = append(q.Exclude, s.strs("skip_modules")...)
}
