package quant

// Rank is a scheme's place in the order of quality.
type Rank struct {
	// Name is what Parse takes.
	Name string
	// Bits is the nominal size of a weight.
	Bits float64
	// Kind is the sort of file that carries the scheme: "safetensors", "gguf"
	// or "mlx". Engines read one or two of them.
	Kind string
}

// order lists schemes best first. Between families the size decides, within
// one the order that its makers publish; of equals the better calibrated one
// comes first.
var order = [...]struct{ name, kind string }{
	{"bf16", "safetensors"}, {"gguf-bf16", "gguf"}, {"gguf-f16", "gguf"},
	{"mlx-8bit", "mlx"}, {"Q8_0", "gguf"}, {"fp8-block", "safetensors"}, {"fp8", "safetensors"}, {"int8", "safetensors"}, {"bnb-int8", "safetensors"},
	{"Q6_K", "gguf"}, {"mlx-6bit", "mlx"},
	{"Q5_K_M", "gguf"}, {"Q5_K_S", "gguf"}, {"mlx-5bit", "mlx"},
	{"Q4_K_M", "gguf"}, {"Q4_K_S", "gguf"}, {"mlx-4bit", "mlx"}, {"nvfp4", "safetensors"}, {"awq", "safetensors"}, {"gptq", "safetensors"}, {"w4a16", "safetensors"}, {"nf4", "safetensors"}, {"nf4-dq", "safetensors"},
	{"IQ4_XS", "gguf"}, {"mlx-mxfp4", "mlx"}, {"mxfp4", "safetensors"},
	{"Q3_K_L", "gguf"}, {"Q3_K_M", "gguf"}, {"IQ3_M", "gguf"}, {"IQ3_S", "gguf"}, {"Q3_K_S", "gguf"}, {"mlx-3bit", "mlx"}, {"IQ3_XS", "gguf"}, {"IQ3_XXS", "gguf"},
	{"Q2_K", "gguf"}, {"IQ2_M", "gguf"}, {"mlx-2bit", "mlx"}, {"IQ2_S", "gguf"}, {"IQ2_XS", "gguf"}, {"IQ2_XXS", "gguf"}, {"IQ1_M", "gguf"}, {"IQ1_S", "gguf"},
}

// Order returns the schemes worth offering, best first.
func Order() []Rank {
	out := make([]Rank, 0, len(order))
	for _, o := range order {
		s, err := Parse(o.name)
		if err != nil {
			continue // names are constants, held by a test
		}
		out = append(out, Rank{Name: o.name, Bits: s.Bits(), Kind: o.kind})
	}
	return out
}
