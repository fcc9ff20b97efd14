package calc_test

import (
	"testing"

	"hwledger/calc/engine"
)

// TestTransformersVectors plans the vectors of transformers' caches from the
// models' published configurations.
func TestTransformersVectors(t *testing.T) {
	all := vectors(t)
	for _, c := range []struct {
		id, ref string
		flags   engine.Flags
	}{
		{"V031", "catalog:deepseek-ai/DeepSeek-V3", nil},
		{"V046", "catalog:google/gemma-3-27b-it", nil},
		{"V047", "catalog:google/gemma-3-27b-it", engine.Flags{"cache_implementation": "static"}},
		{"V052", "catalog:state-spaces/mamba-2.8b-hf", nil},
		{"V089", "catalog:meta-llama/Llama-3.1-8B", nil},
	} {
		v := all[c.id]
		load := engine.Load{ContextTokens: 4096, Sequences: v.Seqs, KVCacheType: v.KVType, Flags: c.flags}
		if n, ok := v.Tokens.(float64); ok {
			load.ContextTokens = int64(n)
		}
		t.Run(c.id, func(t *testing.T) { checkCache(t, c.ref, "transformers", load, v.Bytes) })
	}
}

// TestMLXVectors plans those of MLX; of a load, what is generated comes one
// token at a time.
func TestMLXVectors(t *testing.T) {
	all := vectors(t)
	const llama = "catalog:meta-llama/Llama-3.1-8B"
	for _, c := range []struct {
		id, ref, kv string
		generated   int
	}{
		{"V082", llama, "mlx-4bit", 0}, {"V083", llama, "mlx-8bit", 0}, {"V086", llama, "", 100}, {"V087", llama, "", 10},
		{"V088", "catalog:google/gemma-3-27b-it", "", 10},
	} {
		v := all[c.id]
		load := engine.Load{ContextTokens: int64(v.Tokens.(float64)), Sequences: v.Seqs, KVCacheType: c.kv, Flags: engine.Flags{"max_tokens": c.generated}}
		t.Run(c.id, func(t *testing.T) { checkCache(t, c.ref, "mlx", load, v.Bytes) })
	}
}
