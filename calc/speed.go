package calc

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
	"hwledger/calc/throughput"
)

// Speed returns how fast a plan can run, nil when the hardware's bandwidth is
// not known or the model makes no tokens.
func Speed(req Request, res *Result) *throughput.Estimate {
	n := min(len(res.Devices), len(req.Hardware.Devices))
	if n == 0 || n < len(res.Devices) {
		return nil
	}
	layered := false
	for _, e := range engines {
		if e.Name() == res.Engine {
			layered = splitsLayers(e)
		}
	}
	var err error
	stored := res.stored
	if stored == nil {
		if stored, err = storedFor(req.Model, res.Load.Weights, layered); err != nil {
			return nil
		}
	}
	in := throughput.Input{Model: req.Model, Stored: stored, Load: res.Load, Devices: req.Hardware.Devices[:n], SplitsLayers: layered}
	in.LayerCache = res.LayerCache
	if in.Types, err = shard.CacheTypes(req.Model, engine.Load{KVCacheType: res.Load.KVCacheType}); err != nil {
		// The stores are only weighed against each other: a type that one engine
		// alone knows is taken for 16 bits.
		if in.Types, err = shard.CacheTypes(req.Model, engine.Load{KVCacheType: "bf16"}); err != nil {
			return nil
		}
	}
	in.Eager, in.Draft = eager(res), draft(res.Load.Flags)
	if req.Hardware.Host != nil {
		in.HostBandwidth = req.Hardware.Host.Bandwidth
	}
	if res.Host != nil {
		in.HostShare = hostShare(req.Model, stored, res.Host.Weights)
	}
	return throughput.Of(in)
}

// storedFor is how each tensor is stored: as a GGUF for the engines that read
// nothing else.
func storedFor(m *model.Model, weights string, gguf bool) ([]quant.Stored, error) {
	s, err := quant.For(m, weights)
	if gguf {
		if g, gerr := quant.ForGGUF(m, weights); gerr == nil {
			s, err = g, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return s.Assign(m)
}

// hostShare is the share of the weights that a step reads from system memory.
// An embedding table that stays there is not read, but for a few rows.
func hostShare(m *model.Model, stored []quant.Stored, onHost engine.Bytes) float64 {
	var all, table int64
	for i := range m.Tensors {
		if m.Tensors[i].Part == model.Embedding {
			table += stored[i].Bytes
		} else {
			all += stored[i].Bytes
		}
	}
	if all == 0 || int64(onHost) <= table {
		return 0
	}
	return min(1, float64(int64(onHost)-table)/float64(all))
}

// eager reports an engine that launches kernels one by one.
func eager(res *Result) bool {
	on, err := res.Load.Flags.Bool("enforce_eager", res.Engine == "transformers")
	return on && err == nil
}

// draft is how many tokens are drafted for each step.
func draft(f engine.Flags) int64 {
	n, err := f.Int("num_speculative_tokens", 0)
	if on, _ := f.Bool("speculative", false); on && n == 0 {
		n = 1
	}
	if err != nil {
		return 0
	}
	return min(max(0, n), 64)
}
