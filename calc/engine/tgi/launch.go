package tgi

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
)

// Launch returns the command of TGI's launcher with every option that changes
// memory.
func (e tgi) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("text-generation-launcher")
	a.Set("--model-id", id)
	if revision != "" {
		a.Set("--revision", revision)
	}
	a.Set("--hostname", l.Host)
	a.Set("--port", l.Port)
	a.Set("--num-shard", s.tp)
	total := s.maxTotal
	if total == 0 {
		total = s.context
	}
	a.Set("--max-total-tokens", total)
	if s.maxInput > 0 {
		a.Set("--max-input-tokens", s.maxInput)
	} else if total > 1 {
		a.Set("--max-input-tokens", total-1)
	}
	a.Set("--max-batch-prefill-tokens", max(s.prefill, total-1))
	a.Int("--max-batch-total-tokens", s.maxBatch)
	a.Set("--max-concurrent-requests", max(s.seqs, 1))
	a.Set("--cuda-memory-fraction", s.fraction)
	if s.kv.Name == "fp8" {
		a.Set("--kv-cache-dtype", "fp8_e4m3fn")
	}
	if n := s.speculate; n > 0 {
		a.Set("--speculate", n)
	}
	if w := strings.ToLower(l.Load.Weights); !engine.Stored(w) && (l.Model.Quant == nil || l.Model.Quant.Method != w) {
		name, ok := map[string]string{"fp8": "fp8", "nf4": "bitsandbytes-nf4", "bnb-int8": "bitsandbytes", "awq": "awq", "gptq": "gptq"}[w]
		if !ok {
			return nil, engine.NotLoadable("TGI", l.Load.Weights)
		}
		a.Set("--quantize", name)
	}
	c := &engine.Command{
		Argv: a.Argv, Image: "ghcr.io/huggingface/text-generation-inference", Secrets: []string{"API_KEY"},
		Env:   map[string]string{"TGI_WIGGLE_ROOM": strconv.FormatFloat(s.room, 'g', -1, 64)},
		Notes: []string{"TGI is in maintenance mode: its own README recommends other engines"},
	}
	if s.dp > 1 {
		c.Notes = append(c.Notes, "start one such server for each of the replicas, on devices of its own")
	}
	if s.attention != "" {
		c.Env["ATTENTION"] = s.attention
	}
	return c, nil
}
