package quant

import "strconv"

// float8 are the 8-bit schemes with one byte for a weight. They differ in
// their scales: for each output row (compressed-tensors, fbgemm, W8A8), two
// for a whole matrix (weight and input), or one for a block (DeepSeek).
var float8 = []struct {
	name, aliases, typ string
	size               func(out, in int64) int64
}{
	{"fp8", "fp8-channel fp8-dynamic fp8-per-channel fbgemm-fp8 w8a8-fp8", "F8_E4M3", perRow},
	{"fp8-tensor", "fp8-static fp8-per-tensor", "F8_E4M3", func(out, in int64) int64 { return out*in + 8 }},
	{"int8", "w8a8 int8-w8a8 w8a8-int8 smoothquant", "I8", perRow},
}

// perRow is one byte for a weight and a float32 for a row.
func perRow(out, in int64) int64 { return out*in + 4*out }

func fp8Names() []string { return []string{"fp8", "fp8-block", "fp8-tensor", "int8"} }

func parseFP8(s string) (Scheme, error) {
	for i := range float8 {
		f := &float8[i]
		if s == f.name || hasWord(f.aliases, s) {
			return &matrices{name: f.name, bits: 8, typ: f.typ, size: f.size}, nil
		}
	}
	if s == "fp8-block" || s == "fp8-pb-wo" {
		return fp8Block([2]int64{128, 128}), nil
	}
	return nil, nil
}

// fp8Block returns block-scaled fp8: a float32 scale for each block, blocks at
// the edges counted whole.
func fp8Block(block [2]int64) *matrices {
	if block[0] <= 0 || block[1] <= 0 {
		block = [2]int64{128, 128}
	}
	name := "fp8-block"
	if block != [2]int64{128, 128} {
		name += "-" + strconv.FormatInt(block[0], 10) + "x" + strconv.FormatInt(block[1], 10)
	}
	return &matrices{
		name: name, bits: 8 + 32/float64(block[0]*block[1]), typ: "F8_E4M3",
		size: func(out, in int64) int64 {
			return out*in + 4*ceilDiv(out, block[0])*ceilDiv(in, block[1])
		},
	}
}
