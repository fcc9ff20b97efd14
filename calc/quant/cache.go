package quant

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// CacheType is how an engine keeps the elements of a cache store. Elements are
// kept in blocks of Block elements and BlockBytes bytes; formats with a scale
// for each head vector add PerHead bytes for each of them.
type CacheType struct {
	// Name is the canonical name: "fp8" for all its aliases.
	Name string
	// Block elements take BlockBytes bytes, their scales included.
	Block, BlockBytes int64
	// PerHead bytes come on top for each head vector.
	PerHead int64
	// Rows marks the formats of llama.cpp, whose blocks run along a whole row
	// of all heads, which must be a multiple of Block. Elsewhere blocks stay
	// within a head vector.
	Rows bool

	// valueBits is set for formats that keep values in fewer bits than keys.
	valueBits, valuePerHead int64
}

// Bytes returns the bytes of one entry of elems elements in heads vectors,
// an incomplete block counted whole. Check says whether an engine could store
// such an entry at all.
func (c CacheType) Bytes(elems, heads int64) int64 {
	if c.Rows || c.Block == 1 || heads <= 1 {
		return ceilDiv(elems, c.Block)*c.BlockBytes + heads*c.PerHead
	}
	return heads * (ceilDiv(elems/heads, c.Block)*c.BlockBytes + c.PerHead)
}

// Check reports whether entries of elems elements in heads vectors are made of
// whole blocks.
func (c CacheType) Check(elems, heads int64) error {
	n := elems
	if !c.Rows && heads > 1 {
		n /= heads
	}
	if c.valueBits > 0 || n%c.Block == 0 {
		return nil
	}
	return model.Errorf(model.InvalidArgument, "kv_cache_dtype", "%s keeps blocks of %d elements, which do not divide %d", c.Name, c.Block, n).
		WithHint("use bf16, fp16 or fp8 for this model's cache")
}

// Value returns the format of the values when c is that of the keys. They
// differ only in TurboQuant, whose slots pair them.
func (c CacheType) Value() CacheType {
	if c.valueBits > 0 {
		c.Block, c.BlockBytes, c.PerHead = 8, c.valueBits, c.valuePerHead
	}
	return c
}

// Slot returns the bytes of one token's keys and values of keyDim and valueDim
// elements in each of heads heads. TurboQuant rounds a head's pair up to an
// even number of bytes.
func (c CacheType) Slot(keyDim, valueDim, heads int64) int64 {
	if c.valueBits > 0 {
		pair := c.Bytes(keyDim, 1) + c.Value().Bytes(valueDim, 1)
		return heads * (pair + pair%2)
	}
	return c.Bytes(heads*keyDim, heads) + c.Bytes(heads*valueDim, heads)
}

// BitsPerElement returns the size of an element in a head of dim elements.
func (c CacheType) BitsPerElement(dim int64) float64 {
	if dim <= 0 {
		return 0
	}
	return 8 * float64(c.Bytes(dim, 1)) / float64(dim)
}

// cacheTypes are the formats of MATH §2.7 with a fixed name. MLX's and
// TurboQuant's are composed of their bits by ParseCache.
var cacheTypes = []struct {
	CacheType
	aliases string
}{
	{CacheType{Name: "bf16", Block: 1, BlockBytes: 2}, "bfloat16"},
	{CacheType{Name: "fp16", Block: 1, BlockBytes: 2}, "f16 float16 half"},
	{CacheType{Name: "f32", Block: 1, BlockBytes: 4}, "fp32 float32 float"},
	{CacheType{Name: "fp8", Block: 1, BlockBytes: 1}, "fp8_e4m3 fp8_e5m2 fp8_e4m3fn fp8_e4m3fnuz f8_e4m3 f8_e5m2 float8_e4m3fn float8_e5m2 float8 e4m3 e5m2"},
	{CacheType{Name: "int8", Block: 1, BlockBytes: 1}, ""},
	{CacheType{Name: "int8_per_token_head", Block: 1, BlockBytes: 1, PerHead: 4}, ""},
	{CacheType{Name: "fp8_per_token_head", Block: 1, BlockBytes: 1, PerHead: 4}, ""},
	{CacheType{Name: "int4_per_token_head", Block: 2, BlockBytes: 1, PerHead: 4}, ""},
	{CacheType{Name: "nvfp4", Block: 16, BlockBytes: 9}, ""},
	{CacheType{Name: "fp4", Block: 16, BlockBytes: 9}, "fp4_e2m1"},
	{CacheType{Name: "mxfp8", Block: 32, BlockBytes: 33}, ""},
}

// rowTypes are the quantized cache types that llama.cpp offers.
var rowTypes = [...]ggml.Type{ggml.Q8_0, ggml.Q5_1, ggml.Q5_0, ggml.Q4_1, ggml.Q4_0, ggml.IQ4_NL}

// turboPresets are vLLM's names for pairs of key and value bits.
var turboPresets = map[string][2]int64{
	"k8v4": {8, 4}, "4bit": {4, 4}, "4bit_nc": {4, 4}, "k4v4": {4, 4},
	"k3v4": {3, 4}, "k3v4_nc": {3, 4}, "3bit": {3, 3}, "3bit_nc": {3, 3}, "k3v3": {3, 3},
}

// CacheNames returns the canonical names that ParseCache accepts.
func CacheNames() []string {
	names := make([]string, 0, 32)
	for i := range cacheTypes {
		names = append(names, cacheTypes[i].Name)
	}
	for _, t := range rowTypes {
		names = append(names, strings.ToLower(t.String()))
	}
	for _, n := range [...]string{"8", "6", "5", "4", "3", "2"} {
		names = append(names, "mlx-"+n+"bit")
	}
	return append(names, "turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc")
}

// ParseCache returns the cache element format with the given name, in any
// case: fp8, int8_per_token_head, q8_0, mlx-4bit-g64, turboquant_k8v4 …
// Which of them an engine offers is the engine's business. The error is
// *model.Error with near misses as candidates.
func ParseCache(name string) (CacheType, error) {
	s := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(name), "torch."))
	for i := range cacheTypes {
		if c := &cacheTypes[i]; s == c.Name || hasWord(c.aliases, s) {
			return c.CacheType, nil
		}
	}
	for _, t := range rowTypes {
		if strings.EqualFold(t.String(), s) {
			return CacheType{Name: s, Block: t.BlockElems(), BlockBytes: t.BlockBytes(), Rows: true}, nil
		}
	}
	if rest, ok := strings.CutPrefix(s, "turboquant_"); ok {
		if kv, ok := turboPresets[rest]; ok {
			return turbo(s, kv[0], kv[1]), nil
		}
	}
	if rest, ok := strings.CutPrefix(s, "mlx-"); ok {
		if bits, group, ok := mlxBits(rest, 64); ok {
			return CacheType{Name: s, Block: group, BlockBytes: group*bits/8 + 4}, nil
		}
	}
	return CacheType{}, unknown("kv_cache_dtype", "cache type", name, CacheNames())
}

// turbo returns a TurboQuant format: keys with a 2-byte norm unless they are
// fp8, values with a 2-byte scale and a 2-byte zero.
func turbo(name string, k, v int64) CacheType {
	c := CacheType{Name: name, Block: 8, BlockBytes: k, PerHead: 2, valueBits: v, valuePerHead: 4}
	if k == 8 {
		c.PerHead = 0
	}
	return c
}

// mlxBits reads "4bit", "4bit-g32" or "4bit-32" with a default group.
func mlxBits(s string, group int64) (bits, size int64, ok bool) {
	b, g, grouped := strings.Cut(s, "bit")
	bits, err := strconv.ParseInt(b, 10, 64)
	if err != nil || bits < 2 || bits > 8 || bits == 7 {
		return 0, 0, false
	}
	if !grouped {
		return 0, 0, false
	}
	if g == "" || g == "s" {
		return bits, group, true
	}
	g = strings.TrimPrefix(strings.TrimPrefix(g, "-"), "g")
	g = strings.TrimPrefix(g, "s")
	switch g {
	case "32":
		return bits, 32, true
	case "64":
		return bits, 64, true
	case "128":
		return bits, 128, true
	}
	return 0, 0, false
}

// hasWord reports whether words, separated by spaces, contain w.
func hasWord(words, w string) bool {
	for len(words) > 0 {
		var first string
		first, words, _ = strings.Cut(words, " ")
		if first == w {
			return true
		}
	}
	return false
}

// ceilDiv returns a/b rounded up.
func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
