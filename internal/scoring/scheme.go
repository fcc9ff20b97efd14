package scoring

import "strings"

// schemes translate what a log calls its weights to a scheme of package quant,
// by the first part that the name contains.
var schemes = []struct{ part, scheme string }{
	{"nvfp4", "nvfp4"}, {"mxfp4", "mxfp4"},
	{"awq", "awq"}, {"auto_round", "gptq"}, {"gptq", "gptq"}, {"w4a16", "w4a16"}, {"int4", "w4a16"},
	{"w8a8", "int8"}, {"int8", "int8"},
	{"fp8-dynamic", "fp8-channel"}, {"fp8-runtime", "fp8"}, {"fp8", "fp8"},
	{"bnb", "nf4"}, {"nf4", "nf4"},
	{"bf16", "bf16"}, {"fp16", "fp16"}, {"fp32", "fp32"},
}

// schemeOf returns the weight scheme to plan with: what the repository itself
// says when it is known exactly, else what the log calls it.
func schemeOf(dtype string, f *found) string {
	s := strings.ToLower(dtype)
	plain := s == "" || strings.HasPrefix(s, "bf16") || strings.HasPrefix(s, "fp16")
	if strings.Contains(s, "nvfp4") && f.m.Quant != nil && !strings.Contains(f.m.Quant.Method, "nvfp4") {
		return "nvfp4" // what ran, not what a configuration that was cut short says
	}
	if f.exact && f.m.Quant != nil && !strings.Contains(s, "runtime") {
		return "auto"
	}
	if plain {
		if f.m.Quant == nil || s == "" {
			return "auto"
		}
		return "bf16"
	}
	if s == "fp8" && f.m.Quant != nil && strings.HasPrefix(f.m.Quant.Method, "fp8") {
		return "auto"
	}
	for _, x := range schemes {
		if strings.Contains(s, x.part) {
			return x.scheme
		}
	}
	return "auto"
}
