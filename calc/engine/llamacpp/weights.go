package llamacpp

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/calc/quant"
)

// weigh adds every tensor's bytes to the backend that holds it. align is each
// backend's alignment, to which its buffer pads tensors.
func (s *settings) weigh(m *model.Model, stored []quant.Stored, align []int64) ([]int64, []int64) {
	p := &s.placed
	out := make([]int64, p.devices+1)
	perLayer := make([]int64, len(m.Layers))
	tied := -1
	head := false
	var tail int64 // padding behind the last tensor on the host
	put := func(dev int8, i int) {
		n := padded(&m.Tensors[i], &stored[i], dev != p.host && s.fragments, align[dev])
		out[dev] += n
		if dev == p.host {
			tail = n - stored[i].Bytes
		}
	}
	for i := range m.Tensors {
		t, bytes := &m.Tensors[i], stored[i].Bytes
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
				s.putRows(out, bytes, align)
			} else {
				put(dev, i)
			}
			if t.Layer < len(perLayer) {
				perLayer[t.Layer] += bytes
			}
		case t.Group == model.Vision || t.Group == model.Audio:
			dev := p.host
			if p.devices > 0 {
				dev = int8(p.main)
			}
			put(dev, i)
		case everywhere(t.Name):
			s.putEverywhere(out, bytes, align)
		case isOutput(m, t):
			head = head || t.Part == model.Head
			put(p.output, i)
		case strings.HasPrefix(t.Name, "token_embd_norm"):
			// The norm of the embedding belongs to the first layer.
			put(p.layer(0), i)
		default:
			if t.Name == "token_embd.weight" {
				tied = i
			}
			put(p.host, i)
		}
	}
	if !head && tied >= 0 && (p.output != p.host || s.own) {
		// The embedding is used twice; the second time where the output is, for
		// which Ollama's engine makes a copy wherever that is.
		put(p.output, tied)
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

func (s *settings) putEverywhere(out []int64, bytes int64, align []int64) {
	seen := make([]bool, len(out))
	for _, d := range s.placed.layers {
		if !seen[d] {
			seen[d] = true
			out[d] += pad(bytes, align[d])
		}
	}
}

// putRows cuts a matrix's rows over the devices.
func (s *settings) putRows(out []int64, bytes int64, align []int64) {
	left := bytes
	for d, share := range s.placed.shares {
		n := int64(float64(bytes) * float64(share))
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
func deviceBytes(t *model.Tensor, st *quant.Stored, device bool) int64 {
	rest := t.In % rowFragment
	if !device || rest == 0 {
		return st.Bytes
	}
	typ, known := ggml.ByName(st.Type)
	if !known || typ.BlockElems() == 1 {
		return st.Bytes
	}
	extra, err := typ.RowBytes(rowFragment - rest)
	if err != nil {
		return st.Bytes
	}
	return st.Bytes + extra
}
