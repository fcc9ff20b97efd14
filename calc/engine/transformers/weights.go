package transformers

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
)

// weightTerms returns the rank's weights, those of layers that device_map
// leaves in system memory there.
func (p *planner) weightTerms(w shard.Weights) []engine.Term {
	t := w.Term(p.m, p.r)
	if p.onHost() {
		t.On = nil
		return []engine.Term{t}
	}
	if p.hostLayers(p.m) == 0 {
		return []engine.Term{t}
	}
	r, n := p.r, int(*p.layersOnDevice)
	r.Layers = [2]int{min(r.Layers[0], n), min(r.Layers[1], n)}
	device := engine.Bytes(w.Bytes(p.m, r))
	host := t
	host.Bytes, host.On, host.Name = t.Bytes-device, nil, "weights of layers in system memory"
	t.Bytes = device
	// Accelerate's hooks bring one layer at a time to the device.
	var largest engine.Bytes
	for i, b := range w.ByLayer(p.m) {
		if i >= n && i >= p.r.Layers[0] && i < p.r.Layers[1] {
			largest = max(largest, b)
		}
	}
	out := []engine.Term{t}
	if host.Bytes > 0 {
		out = append(out, host, engine.Term{
			Name: "layer brought to the device", Category: engine.Workspace, On: p.r.On, Bytes: largest, Low: largest, High: 2 * largest,
			Formula: "largest layer in system memory; the next may come before the last is gone", Confidence: engine.Derived, Source: "accelerate hooks.py",
		})
	}
	return out
}
