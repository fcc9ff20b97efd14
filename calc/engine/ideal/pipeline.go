package ideal

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Pipelines is true: the weights of a diffusion pipeline are known from its
// headers.
func (ideal) Pipelines() bool { return true }

// pipeline sizes the networks of a diffusion pipeline, one term for each.
// Nothing is kept between steps. What a step takes depends on resolution,
// batch and attention kernel, which no file says; it is noted, not guessed.
func (e ideal) pipeline(m *model.Model, stored []quant.Stored, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if load.TensorParallel > 1 || load.PipelineParallel > 1 {
		return nil, model.Errorf(model.InvalidArgument, "tensor_parallel", "a diffusion pipeline is planned whole on each device").
			WithHint("leave out tensor_parallel and pipeline_parallel; data_parallel puts a copy on each device")
	}
	u := e.usage(int(load.DataParallel), hw)
	on := make([]int, u.Devices)
	for i := range on {
		on[i] = i
	}
	var largest engine.Bytes
	var name string
	var whole []string
	at := map[string]int{}
	for i := range m.Tensors {
		x := &m.Tensors[i]
		part, bytes := x.Component(), stored[i].Bytes
		if x.Elems() == 0 { // no parameters, or a file without a header
			bytes = x.Bytes
			if x.Type == "" {
				whole = append(whole, part)
			}
		}
		j, ok := at[part]
		if !ok {
			j = len(u.Terms)
			at[part] = j
			u.Terms = append(u.Terms, engine.Term{
				Name: "weights: " + part, Category: engine.Weights, On: on,
				Formula: "Σ tensors of the part: elements × bits / 8", Confidence: engine.Exact, Source: "checkpoint layout",
				Inputs: []engine.Input{{Name: "tensors", From: "tensor headers"}},
			})
		}
		t := &u.Terms[j]
		t.Inputs[0].Value++
		if t.Bytes += engine.Bytes(bytes); t.Bytes > largest {
			largest, name = t.Bytes, part
		}
	}
	u.Notes = append(u.Notes,
		"no KV cache: a diffusion pipeline keeps none",
		"activations are not in this plan: they grow with resolution and batch, and decoding in the VAE is often their peak",
		fmt.Sprintf("parts that take turns on the device (diffusers' model offloading) need no more than the largest at once: %s, %s", name, largest))
	if len(whole) > 0 {
		u.Notes = append(u.Notes, "files without a header count with their size on disk, whatever weights are asked for: "+strings.Join(whole, ", "))
	}
	return u, nil
}
