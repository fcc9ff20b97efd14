package vllm

import (
	"math"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// kvType is the cache format that --kv-cache-dtype names, resolved.
type kvType struct {
	quant.CacheType
	fp8 bool
}

// cacheNames are the formats that vLLM offers.
var cacheNames = []string{
	"auto", "bf16", "fp16", "fp8", "int8_per_token_head", "fp8_per_token_head", "int4_per_token_head", "nvfp4",
	"turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc",
}

// parseKV returns the format named as vLLM names it; elem is the element size
// that "auto" means.
func parseKV(name string, elem int64) (kvType, error) {
	s := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
	switch s {
	case "", "auto":
		return kvType{CacheType: quant.CacheType{Name: "auto", Block: 1, BlockBytes: elem}}, nil
	case "int8", "int8_per_token":
		s = "int8_per_token_head"
	case "fp8_ds_mla", "fp8_inc":
		s = "fp8"
	case "fp4":
		s = "nvfp4"
	}
	c, err := quant.ParseCache(s)
	if err != nil || c.Rows || strings.HasPrefix(c.Name, "mlx") {
		e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "vLLM has no cache type %q", name)
		e.Candidates = cacheNames
		return kvType{}, e
	}
	return kvType{CacheType: c, fp8: c.Name == "fp8"}, nil
}

// dtypeBytes returns the element size of an unquantized dtype, 0 when it is
// not one.
func dtypeBytes(name string) int64 {
	switch strings.TrimPrefix(strings.ToLower(name), "torch.") {
	case "bf16", "bfloat16", "fp16", "f16", "float16", "half":
		return 2
	case "fp32", "f32", "float32", "float":
		return 4
	}
	return 0
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// mul returns a × b, or the largest int64 when that overflows: a plan for
// absurd numbers is an absurd size, not a negative one.
func mul(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	if a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

func roundUp(n, m int64) int64 { return ceilDiv(n, m) * m }
