package vllm

import (
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Alternatives lists schemes with fewer bits than the checkpoint has that
// vLLM loads or makes at load time, and the cache type it offers beside the
// model's own.
func (vllm) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	now, err := quant.AsStored(m)
	if err != nil {
		return nil, nil
	}
	for _, name := range [...]string{"fp8", "w4a16"} {
		if s, err := quant.Parse(name); err == nil && s.Bits() < now.Bits()-1 {
			weights = append(weights, name)
		}
	}
	return weights, []string{"fp8"}
}

// Offloads is false: what does not fit on the devices does not start.
func (vllm) Offloads() bool { return false }
