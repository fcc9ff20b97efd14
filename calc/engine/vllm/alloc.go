package vllm

import (
	"cmp"
	"slices"
)

// PyTorch's CUDA caching allocator hands out whole segments' remainders that
// are too small to keep, so weights take more than their bytes: what vLLM
// logs as "Model loading took" counts them. Constants and rules are those of
// c10/cuda/CUDACachingAllocator (no expandable segments).
const (
	allocGrain   = 512
	smallLimit   = 1 << 20  // up to here allocations come from small segments
	smallSegment = 2 << 20  // size of those
	midSegment   = 20 << 20 // segments for allocations below largeLimit
	largeLimit   = 10 << 20
	largeGrain   = 2 << 20 // larger segments are multiples of this
)

// allocator counts what a sequence of allocations takes.
type allocator struct {
	used         int64
	small, large []int64 // free remainders, ascending
}

// add allocates n bytes.
func (a *allocator) add(n int64) {
	if n <= 0 {
		return
	}
	n = roundUp(n, allocGrain)
	pool, keep := &a.large, int64(smallLimit)
	if n <= smallLimit {
		pool, keep = &a.small, 0
	}
	var block int64
	if i, ok := slices.BinarySearch(*pool, n); ok || i < len(*pool) {
		block = (*pool)[i]
		*pool = slices.Delete(*pool, i, i+1)
	} else {
		block = segment(n)
	}
	rest := block - n
	if rest > keep {
		i, _ := slices.BinarySearchFunc(*pool, rest, cmp.Compare[int64])
		*pool = slices.Insert(*pool, i, rest)
		a.used += n
		return
	}
	a.used += block
}

func segment(n int64) int64 {
	switch {
	case n <= smallLimit:
		return smallSegment
	case n < largeLimit:
		return midSegment
	}
	return roundUp(n, largeGrain)
}
