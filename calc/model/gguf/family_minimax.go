package gguf

import "hwledger/calc/model"

// minimax01Mixers: layers are lightning attention but for every eighth, or as
// attention.recurrent_layers lists. (src/models/minimax-01.cpp)
func minimax01Mixers(b *builder, layer int) ([]model.Mixer, error) {
	recurrent := false
	if list, ok := b.k.array("attention.recurrent_layers", b.n); ok {
		recurrent = layer < len(list) && list[layer] != 0
	} else {
		every := b.k.int("full_attention_interval", 8)
		recurrent = every > 0 && (int64(layer)+1)%every != 0
	}
	if !recurrent || layer >= b.n {
		return nil, b.k.err
	}
	return []model.Mixer{&model.Lightning{Heads: b.heads[0], HeadDim: b.keyDim[0]}}, b.positive("attention.head_count", b.heads[0], b.keyDim[0])
}

// nanbeigeLoops repeats the layers num_loops times: each pass keeps its own
// cache but uses the same weights. (src/models/nanbeige.cpp)
func nanbeigeLoops(b *builder) {
	loops := b.k.int("num_loops", 1)
	if loops < 1 || loops*int64(b.n) > maxLayers {
		b.k.fail("num_loops", "is %d for %d layers", loops, b.n)
		return
	}
	pass := b.m.Layers
	for range loops - 1 {
		for _, l := range pass {
			mixers := make([]model.Mixer, len(l.Mixers))
			for i, x := range l.Mixers {
				mixers[i] = x
				if a, ok := x.(*model.Attention); ok {
					again := *a
					again.Weightless = true
					mixers[i] = &again
				}
			}
			again := model.Layer{Mixers: mixers, FFN: l.FFN}
			again.FFN.Weightless = true
			b.m.Layers = append(b.m.Layers, again)
		}
	}
}
