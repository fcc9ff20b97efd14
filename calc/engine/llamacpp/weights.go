package llamacpp

import (
	"strings"

	"hwledger/calc/model"
)

// weigh adds every tensor's bytes to the backend that holds it. align is each
// backend's alignment, to which its buffer pads tensors.
func (s *settings) weigh(m *model.Model, stored []storedTensor, align []int64) ([]int64, []int64) {
	p := &s.placed
	out := make([]int64, p.devices+1)
	perLayer := make([]int64, len(m.Layers))
	tied := int64(0)
	head := false
	var tail int64 // padding behind the last tensor on the host
	put := func(dev int8, t storedTensor) {
		n := t.padded(dev != p.host && s.fragments, align[dev])
		out[dev] += n
		if dev == p.host {
			tail = n - t.bytes
		}
	}
	for i := range m.Tensors {
		t, b := &m.Tensors[i], stored[i]
		if !s.loads(t) {
			continue
		}
		switch {
		case t.Layer >= 0:
			dev := p.layer(t.Layer)
			if dev != p.host && p.overridden(t) {
				dev = p.host
			}
			if p.rows && dev != p.host && t.Part == model.Linear {
				s.putRows(out, b, align)
			} else {
				put(dev, b)
			}
			if t.Layer < len(perLayer) {
				perLayer[t.Layer] += b.bytes
			}
		case t.Group == model.Vision || t.Group == model.Audio:
			dev := p.host
			if p.devices > 0 {
				dev = int8(p.main)
			}
			put(dev, b)
		case everywhere(t.Name):
			s.putEverywhere(out, b, align)
		case isOutput(m, t):
			head = head || t.Part == model.Head
			put(p.output, b)
		case strings.HasPrefix(t.Name, "token_embd_norm"):
			// The norm of the embedding belongs to the first layer.
			put(p.layer(0), b)
		default:
			if t.Name == "token_embd.weight" {
				tied = int64(i) + 1
			}
			put(p.host, b)
		}
	}
	if !head && tied > 0 && (p.output != p.host || s.own) {
		// The embedding is used twice; the second time where the output is, for
		// which Ollama's engine makes a copy wherever that is.
		put(p.output, stored[tied-1])
	}
	if s.mmap && p.host < int8(len(out)) && out[p.host] > 0 {
		// A mapped file has no padding behind its last tensor.
		out[p.host] -= max(0, tail)
	}
	return out, perLayer
}

// loads reports whether llama.cpp loads the tensor: multi-token-prediction
// layers and towers are left out unless asked for.
func (s *settings) loads(t *model.Tensor) bool {
	switch t.Group {
	case model.Text, model.Encoder:
		return true
	case model.Vision, model.Audio:
		return s.mmproj || s.own
	}
	return false
}

// everywhere names the tensors that every device with layers has a copy of.
func everywhere(name string) bool {
	return name == "rope_freqs.weight" || strings.HasPrefix(name, "rope_factors_")
}

func (s *settings) putEverywhere(out []int64, t storedTensor, align []int64) {
	seen := make([]bool, len(out))
	for _, d := range s.placed.layers {
		if !seen[d] {
			seen[d] = true
			out[d] += pad(t.bytes, align[d])
		}
	}
}

// putRows cuts a matrix's rows over the devices.
func (s *settings) putRows(out []int64, t storedTensor, align []int64) {
	left := t.bytes
	for d, share := range s.placed.shares {
		n := int64(float64(t.bytes) * float64(share))
		if d == len(s.placed.shares)-1 {
			n = left
		}
		left -= n
		out[d] += pad(n, align[d])
	}
}

// isOutput reports whether the tensor belongs to the output "layer".
func isOutput(m *model.Model, t *model.Tensor) bool {
	if t.Part == model.Head || strings.HasPrefix(t.Name, "output") {
		return true
	}
	return strings.HasPrefix(m.Arch, "lfm2") && strings.HasPrefix(t.Name, "token_embd_norm")
}

// rowFragment is the width to which CUDA pads a quantized matrix's last row.
const rowFragment = 512

// deviceBytes is a tensor's size in a buffer: CUDA reads quantized matrices
// in fragments of 512 columns, so a narrower last row is followed by padding.
func deviceBytes(t storedTensor, device bool) int64 {
	if !device || !t.known || t.typ.BlockElems() == 1 || t.cols%rowFragment == 0 {
		return t.bytes
	}
	extra, err := t.typ.RowBytes(rowFragment - t.cols%rowFragment)
	if err != nil {
		return t.bytes
	}
	return t.bytes + extra
}
