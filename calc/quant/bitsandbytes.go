package quant

// bitsandbytes stores 4-bit floats with a float32 maximum for 64 weights,
// which double quantization keeps in a byte with a float32 for 256 of them;
// and 8-bit integers with a float32 for a row (LLM.int8). Lookup tables of a
// few hundred bytes beside each matrix are left out.
var bitsandbytes = []struct {
	name, aliases, typ string
	bits               float64
	size               func(out, in int64) int64
}{
	{"nf4", "bnb-nf4 bnb-4bit bnb-fp4 bitsandbytes-nf4 bitsandbytes-4bit bnb", "NF4", 4.5, func(out, in int64) int64 {
		return ceilDiv(out*in, 2) + 4*ceilDiv(out*in, 64)
	}},
	{"nf4-dq", "bnb-nf4-dq nf4-double-quant bnb-4bit-dq qlora", "NF4", 4 + 8.0/64 + 32.0/(64*256), func(out, in int64) int64 {
		blocks := ceilDiv(out*in, 64)
		return ceilDiv(out*in, 2) + blocks + 4*ceilDiv(blocks, 256)
	}},
	{"bnb-int8", "bnb-8bit llm-int8 llm.int8 bitsandbytes-8bit bitsandbytes-int8", "I8", 8, perRow},
}

func bnbNames() []string { return []string{"nf4", "nf4-dq", "bnb-int8"} }

func parseBNB(s string) (Scheme, error) {
	for i := range bitsandbytes {
		b := &bitsandbytes[i]
		if s == b.name || hasWord(b.aliases, s) {
			return &matrices{name: b.name, bits: b.bits, typ: b.typ, size: b.size}, nil
		}
	}
	return nil, nil
}
