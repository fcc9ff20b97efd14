package vllm

import "hwledger/calc/model"

// specKind is what vLLM calls a KV cache spec: how a layer's blocks grow with
// a request.
type specKind uint8

const (
	fullSpec specKind = iota
	slidingSpec
	chunkedSpec
	crossSpec
	mambaSpec
)

// spec is one cache that one layer keeps, as one rank holds it. Layers with
// equal specs share a type.
type spec struct {
	kind specKind
	// block is the tokens of a block, page its bytes, token the bytes of one
	// token (0 for recurrent states).
	block, page, token int64
	window             int64
	mla, index         bool
}

// sized returns the attention spec with blocks of block tokens.
func (s spec) sized(block int64) spec {
	s.block, s.page = block, s.token*block
	return s
}

// specs returns every cache that the layers keep on one rank, in layer order.
// Recurrent pages are the bare state; attention pages are sized later.
func (s *settings) specs(layers []model.Layer) []spec {
	out := make([]spec, 0, len(layers))
	var stores []model.Store
	for i := range layers {
		out, stores = s.appendSpecs(out, &layers[i], stores)
	}
	return out
}

// appendSpecs appends the caches of one layer; stores is memory to work in,
// which it returns.
func (s *settings) appendSpecs(out []spec, l *model.Layer, stores []model.Store) ([]spec, []model.Store) {
	for _, x := range l.Mixers {
		stores = x.AppendStores(stores[:0], s.tp)
		if len(stores) > 0 {
			out = s.mixerSpecs(out, x, stores)
		}
	}
	return out, stores
}

func (s *settings) mixerSpecs(out []spec, x model.Mixer, stores []model.Store) []spec {
	switch x := x.(type) {
	case *model.Attention:
		g := max(1, stores[0].Heads)
		c := spec{token: s.kv.Slot(x.KeyDim, x.ValueDim, g)}
		switch {
		case x.Cross && s.v0:
			// V0 pages every layer alike.
		case x.Cross:
			c.kind = crossSpec
		case x.Window == 0 || s.noHybrid || x.Chunked && s.chunkedFull:
		case x.Chunked:
			c.kind, c.window = chunkedSpec, x.Window
		default:
			c.kind, c.window = slidingSpec, x.Window
		}
		return append(out, c)
	case *model.MLA:
		out = append(out, spec{mla: true, token: s.latentBytes(x)})
		if x.Indexer != nil && !x.Indexer.Shared {
			out = append(out, spec{mla: true, index: true, token: indexBytes(x.Indexer.HeadDim)})
		}
		return out
	case *model.Compressed:
		return out // sized by compressedLayout
	}
	return append(out, spec{kind: mambaSpec, page: s.statePage(x, stores)})
}

// latentBytes returns the bytes of one MLA row. Sparse attention with an fp8
// cache stores the latent as fp8 with a float32 scale for each 128 elements
// and the rope part in bf16 (fp8_ds_mla: 656 bytes for 512+64).
func (s *settings) latentBytes(x *model.MLA) int64 {
	if s.kv.fp8 && x.Indexer != nil {
		return x.KVLoRARank + 4*ceilDiv(x.KVLoRARank, 128) + 2*x.RopeDim
	}
	return s.kv.Bytes(x.KVLoRARank+x.RopeDim, 1)
}

// indexBytes returns the bytes of one indexer key: fp8 with a float32 scale
// for each 128 elements, whatever the cache type.
func indexBytes(d int64) int64 { return d + 4*ceilDiv(d, 128) }

// statePage returns the bytes of a recurrent layer's states of one sequence
// (model_executor/layers/mamba/mamba_utils.py). Speculative decoding adds one
// convolution column for each draft token.
func (s *settings) statePage(x model.Mixer, stores []model.Store) int64 {
	var n int64
	for _, st := range stores {
		size := s.modelSize
		elems := st.Elems
		if st.Class == model.State {
			size = s.stateSize
			if x.Kind() == model.KindKDA || x.Kind() == model.KindRWKV || x.Kind() == model.KindRGLRU {
				size = 4
			}
		} else if k := model.ConvKernel(x); k > 1 {
			elems += elems / (k - 1) * s.draft
		}
		n += elems * size
	}
	return n
}

// kernelBlock returns the block size of the attention backend that serves the
// model when the user names none: 16, and for MLA that of its kernel (FlashMLA
// and sparse MLA 64 on Hopper and for sparse models, CUTLASS MLA 128 on
// data-center Blackwell).
func (s *settings) kernelBlock(specs []spec) int64 {
	latent, sparse := mla(specs), false
	for _, c := range specs {
		sparse = sparse || c.index
	}
	switch {
	case sparse:
		return 64
	case !latent || s.device == nil:
		return 16
	case s.device.Arch == "10.0" || s.device.Arch == "10.3":
		return 128
	case s.device.Arch == "9.0":
		return 64
	}
	return 16
}

func mla(specs []spec) bool {
	for _, c := range specs {
		if c.mla {
			return true
		}
	}
	return false
}

// alignBlock returns the smallest attention block that is a multiple of step
// tokens and whose page of token bytes a token holds a recurrent state of
// state bytes; the state's page is then padded to it
// (platforms/interface.py, hybrid block alignment).
func alignBlock(step, token, state int64) int64 {
	return step * max(1, ceilDiv(state, step*token))
}

// mambaChunk is the chunk length of the state-space kernels, to which blocks
// are aligned when every block keeps a state.
const mambaChunk = 256

// size gives every attention spec its block and pads recurrent pages, in
// place, and returns the block of the attention layers.
func (s *settings) size(specs []spec) int64 {
	block := s.block
	if block == 0 {
		block = s.kernelBlock(specs)
	}
	var token, state int64
	for _, c := range specs {
		switch {
		case c.kind == mambaSpec:
			state = max(state, c.page)
		case c.kind == fullSpec && !c.index:
			token = max(token, c.token)
		}
	}
	if token == 0 {
		for _, c := range specs {
			token = max(token, c.token)
		}
	}
	if state > 0 && token > 0 {
		step := block
		if s.block > 0 {
			step = 16
		}
		if mla(specs) {
			step = max(step, 64)
		}
		if s.mambaMode == "all" {
			step = lcm(step, mambaChunk)
		}
		block = max(block, alignBlock(step, token, state))
	}
	for i, c := range specs {
		if c.kind == mambaSpec {
			specs[i].block = s.maxLen
			if s.mambaMode == "all" {
				specs[i].block = block
			}
			if token > 0 {
				specs[i].page = max(state, block*token)
			}
			continue
		}
		specs[i] = c.sized(block)
	}
	return block
}

func lcm(a, b int64) int64 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}
