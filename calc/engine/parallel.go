package engine

import (
	"math"
	"math/bits"
)

// Stages cuts layers into pp contiguous pipeline stages and returns each
// stage's first layer and the layer after its last. A remainder goes to the
// stages before the last one, from the back, because the last also holds the
// output head (vLLM distributed/utils.py get_pp_indices).
func Stages(layers, pp int) [][2]int {
	sizes := make([]int, pp)
	for i := range sizes {
		sizes[i] = layers / pp
	}
	for i, rest := 2, layers%pp; rest > 0 && pp > 1; i, rest = i+1, rest-1 {
		sizes[(pp-i+pp)%pp]++
	}
	out := make([][2]int, pp)
	at := 0
	for i, n := range sizes {
		out[i] = [2]int{at, at + n}
		at += n
	}
	return out
}

// Share returns n × num ÷ den rounded up, whatever the size of the product;
// the largest int64 where the result is beyond it, 0 where an argument is not
// positive.
func Share(n, num, den int64) int64 {
	if n <= 0 || num <= 0 || den <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(n), uint64(num))
	if hi >= uint64(den) {
		return math.MaxInt64
	}
	q, r := bits.Div64(hi, lo, uint64(den))
	if r > 0 {
		q++
	}
	return int64(min(q, math.MaxInt64))
}
