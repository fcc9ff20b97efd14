package throughput

import "hwledger/calc/model"

// cacheRead is what a step moves for one sequence on each tensor-parallel rank
// and stage: keys and values are read once, of sparse layers the index and the
// chosen rows; states are read and written. What ranks hold whole, as latent
// rows, is not divided.
func (in *Input) cacheRead(tp float64) float64 {
	var sum float64
	var buf []model.Store
	for i := range in.Model.Layers {
		if i >= len(in.LayerCache) {
			break
		}
		var all, moved float64
		for _, x := range in.Model.Layers[i].Mixers {
			part := 1 / tp
			switch x.(type) {
			case *model.MLA, *model.Compressed:
				part = 1
			}
			buf = x.AppendStores(buf[:0], 1)
			for _, s := range buf {
				n := float64(s.Entries(in.Load.ContextTokens) * in.Types.Entry(x, s))
				if s.Axis == model.PerEncoderToken {
					n = float64(in.Model.EncoderTokens * in.Types.Entry(x, s))
				}
				all += n
				moved += n * part * in.share(x, s)
			}
		}
		if all > 0 {
			sum += float64(in.LayerCache[i]) * moved / all
		}
	}
	return sum / float64(max(1, in.Load.Sequences))
}

// share is how much of a store a step moves.
func (in *Input) share(x model.Mixer, s model.Store) float64 {
	if s.Axis == model.PerSequence {
		return 2
	}
	var top int64
	switch x := x.(type) {
	case *model.MLA:
		if x.Indexer != nil && s.Class == model.Latent {
			top = x.Indexer.TopK
		}
	case *model.Compressed:
		if x.Indexer != nil && s.Class == model.Latent && s.Stride > 1 {
			top = x.Indexer.TopK
		}
	}
	if n := s.Entries(in.Load.ContextTokens); top > 0 && n > top {
		return float64(top) / float64(n)
	}
	return 1
}
