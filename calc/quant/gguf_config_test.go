package quant_test

import (
	"testing"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
	"hwledger/calc/quant"
	"hwledger/internal/observed"
)

// converted are the models of the quantizer's rows whose published
// configuration is known, and the bytes of tensors that only the converted
// file has: rotary frequency factors.
var converted = map[string]struct {
	id   string
	rope int64
}{
	"llama-3.1-8b": {"meta-llama/Llama-3.1-8B", 4 * 64}, "llama-3.2-1b": {"meta-llama/Llama-3.2-1B", 4 * 32},
	"llama-4-scout": {"meta-llama/Llama-4-Scout-17B-16E-Instruct", 4 * 64}, "phi-3-mini-128k": {"microsoft/Phi-3-mini-128k-instruct", 2 * 4 * 48},
	"qwen2.5-7b": {"Qwen/Qwen2.5-7B", 0}, "mixtral-8x7b": {"mistralai/Mixtral-8x7B-v0.1", 0}, "gemma-2-9b": {"google/gemma-2-9b", 0},
	"gemma-3-1b": {"google/gemma-3-1b-it", 0}, "gpt-oss-20b": {"openai/gpt-oss-20b", 0}, "qwen3-30b-a3b": {"Qwen/Qwen3-30B-A3B", 0},
	"deepseek-v2-lite": {"deepseek-ai/DeepSeek-V2-Lite", 0}, "qwen3-next-80b-a3b": {"Qwen/Qwen3-Next-80B-A3B-Instruct", 0},
	"mamba-2.8b": {"state-spaces/mamba-2.8b-hf", 0}, "lfm2-1.2b": {"LiquidAI/LFM2-1.2B", 0},
	"kimi-linear-48b": {"moonshotai/Kimi-Linear-48B-A3B-Instruct", 0}, "granite-4-h-tiny": {"ibm-granite/granite-4.0-h-tiny", 0},
}

// A published configuration alone gives the bytes that llama-quantize reports
// for the converted model.
func TestMixesOfConfigurations(t *testing.T) {
	rows, err := observed.QuantizeReported()
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]*model.Model{}
	exact := 0
	for _, r := range rows {
		c, ok := converted[r.Model]
		if !ok {
			continue
		}
		m := models[r.Model]
		if m == nil {
			e, ok, err := catalog.Find(c.id)
			if err != nil || !ok {
				t.Fatalf("%s is not in the catalogue: %v", c.id, err)
			}
			if m, err = hfconfig.Parse(e.Config); err != nil {
				t.Fatal(err)
			}
			models[r.Model] = m
		}
		s, err := quant.ForGGUF(m, r.FType)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := s.Assign(m)
		if err != nil {
			t.Fatal(err)
		}
		n := c.rope
		for i := range stored {
			if m.Tensors[i].Group == model.Text {
				n += stored[i].Bytes
			}
		}
		if n != r.Bytes {
			t.Errorf("%s as %s: %d bytes, want %d (%+d)", c.id, r.FType, n, r.Bytes, n-r.Bytes)
			continue
		}
		exact++
	}
	if len(models) != len(converted) {
		t.Errorf("%d of %d models have rows", len(models), len(converted))
	}
	t.Logf("%d rows of %d models exact from config.json alone", exact, len(models))
}
