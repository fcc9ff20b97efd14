package llamacpp

import (
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// layerCache is what one layer keeps: bytes for all cells and sequences.
type layerCache struct {
	kv, state int64
	swa       bool
	cells     int64
	// row is what one cell takes.
	row int64
}

// caches reports whether the model keeps attention rows anywhere.
func caches(m *model.Model) bool {
	if isEncoder(m) {
		return false
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x.(type) {
			case *model.Attention, *model.MLA, *model.Compressed:
				return true
			}
		}
	}
	return false
}

// latentOf finds out whether latent attention is absorbed, one latent row for
// each token, or expanded to heads: files made before the up-projection was
// split keep plain keys and values. (hparams.is_mla)
func (s *settings) latentOf(m *model.Model) {
	latent := false
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x.(type) {
			case *model.MLA, *model.Compressed:
				latent = true
			}
		}
	}
	if !latent {
		return
	}
	joint, split := false, false
	if m.Format == model.FormatGGUF {
		for i := range m.Tensors {
			switch m.Tensors[i].Name {
			case "attn_kv_b.weight":
				joint = true
			case "attn_k_b.weight":
				split = true
			}
		}
	}
	s.expanded = joint && !split || s.rules.plainLatent
	s.mla = !s.expanded
}

// rowBytes returns the bytes of a cache row of n elements.
func rowBytes(t ggml.Type, n int64) (int64, error) {
	b, err := t.RowBytes(n)
	if err != nil {
		return 0, model.Errorf(model.InvalidArgument, "kv_cache_dtype", "rows of %d elements cannot be kept as %s", n, t).WithHint("use f16")
	}
	return b, nil
}

// fillCache sizes every layer's cache. (src/llama-kv-cache.cpp,
// llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp)
func (s *settings) fillCache(m *model.Model) error {
	s.cache = make([]layerCache, len(m.Layers))
	if isEncoder(m) {
		return nil
	}
	q := quirksOf(m.Arch)
	var buf [8]model.Store
	s.widestValue(m)
	s.contBytes = 2
	if s.typeK == f32 {
		s.contBytes = 4
	}
	for i := range m.Layers {
		c := &s.cache[i]
		c.cells = s.nCtxSeq
		for _, x := range m.Layers[i].Mixers {
			if v4, ok := x.(*model.Compressed); ok {
				if err := s.compressedCache(c, v4); err != nil {
					return err
				}
				continue
			}
			stores := x.AppendStores(buf[:0], 1)
			if a, ok := x.(*model.MLA); ok && s.expanded {
				stores = a.AppendExpanded(buf[:0], 1)
			}
			if err := s.addStores(c, m, x, stores, &q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *settings) addStores(c *layerCache, m *model.Model, x model.Mixer, stores []model.Store, q *quirks) error {
	for _, st := range stores {
		t, n := s.typeK, st.Elems
		switch st.Class {
		case model.ConvState, model.State:
			c.state += 4 * st.Elems * s.nSeq * (1 + s.nRS)
			continue
		case model.Value:
			t = s.typeV
			if !s.flash {
				n = s.vElemsMax
			}
		case model.Latent:
			if s.rules.latentValues {
				if a, ok := x.(*model.MLA); ok {
					n += a.KVLoRARank
				}
			}
		}
		if st.Axis != model.PerToken {
			continue
		}
		if w := s.windowOf(st.Window, q); w > 0 {
			if s.own {
				w = s.ownWindow(m, w)
			}
			c.swa = true
			c.cells = s.windowCells(w, s.swaFull)
			s.cellsSWA = c.cells
		}
		row, err := rowBytes(t, n)
		if err != nil {
			return err
		}
		c.row += row
		c.kv += row * c.cells * s.streams
	}
	return nil
}

// windowOf returns the window that llama.cpp applies: many architectures
// ignore the one a configuration names.
func (s *settings) windowOf(window int64, q *quirks) int64 {
	switch {
	case window == 0 || !q.swa:
		return 0
	case q.swaChunk > 0:
		return q.swaChunk
	}
	return window
}

// widestValue finds the widest value row, to which transposed caches (without
// flash attention) pad every layer's.
func (s *settings) widestValue(m *model.Model) {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch a := x.(type) {
			case *model.Attention:
				s.vElemsMax = max(s.vElemsMax, a.KVHeads*a.ValueDim)
			case *model.MLA:
				if s.expanded {
					s.vElemsMax = max(s.vElemsMax, a.Heads*a.ValDim)
				}
			}
		}
	}
}

// compressedCache sizes DeepSeek-V4's caches: raw rows in a window, compressed
// rows, index keys and the compressors' running state.
// (src/llama-kv-cache-dsv4.cpp)
func (s *settings) compressedCache(c *layerCache, v *model.Compressed) error {
	row, err := rowBytes(s.typeK, v.HeadDim)
	if err != nil {
		return err
	}
	c.swa, c.cells = true, s.windowCells(v.Window, s.swaFull)
	s.cellsSWA = c.cells
	c.row += row
	c.kv += row * c.cells * s.streams
	if v.Ratio == 0 {
		return nil
	}
	cells := pad((s.nCtxSeq+v.Ratio-1)/v.Ratio, 256)
	c.kv += row * cells * s.streams
	width, rows := v.HeadDim, int64(128)
	if v.Ratio == 4 {
		width, rows = 2*v.HeadDim, 8
	}
	copies := s.nSeq * (1 + s.nRS)
	c.state += 4 * 2 * width * rows * copies
	if x := v.Indexer; x != nil {
		key, err := rowBytes(s.typeK, x.HeadDim)
		if err != nil {
			return err
		}
		c.kv += key * cells * s.streams
		c.state += 4 * 2 * (2 * x.HeadDim) * 8 * copies
	}
	return nil
}
