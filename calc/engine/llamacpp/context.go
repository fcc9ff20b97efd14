package llamacpp

import "hwledger/calc/model"

// maxSequences is LLAMA_MAX_SEQ.
const maxSequences = 256

// sizes are llama.cpp's context numbers after its own adjustments.
type sizes struct {
	nCtx, nCtxSeq, streams int64
	nBatch, nUBatch, nSeq  int64
	nOutputs               int64
	cellsSWA               int64
	unified                bool
	padding                int64 // of a window's cells
}

// resolve applies the constructor of llama_context: batches are capped by the
// context before the context is padded; without a unified cache every
// sequence gets an equal, padded share, by which the context can grow.
func resolve(nCtx, nSeq, nBatch, nUBatch, nOutputs, padding int64, unified, causal bool) (sizes, error) {
	s := sizes{nSeq: max(1, nSeq), unified: unified, padding: max(padding, 1)}
	if s.nSeq > maxSequences {
		return s, model.Errorf(model.InvalidArgument, "sequences", "llama.cpp serves at most %d sequences, not %d", maxSequences, s.nSeq).
			WithHint("lower sequences (n_parallel) to %d or fewer", maxSequences)
	}
	s.nBatch = nBatch
	if causal {
		s.nBatch = min(nCtx, nBatch)
	}
	s.nUBatch = s.nBatch
	if nUBatch > 0 {
		s.nUBatch = min(s.nBatch, nUBatch)
	}
	s.nOutputs = nOutputs
	if nOutputs == 0 {
		s.nOutputs = s.nBatch
	}
	s.nCtx = pad(nCtx, padding)
	s.streams, s.nCtxSeq = 1, s.nCtx
	if !unified {
		s.streams = s.nSeq
		s.nCtxSeq = pad(s.nCtx/s.nSeq, padding)
		if s.nCtxSeq == 0 {
			return s, model.Errorf(model.InvalidArgument, "context_tokens", "%d tokens do not give %d sequences a cell each", nCtx, s.nSeq)
		}
		s.nCtx = s.nCtxSeq * s.nSeq
	}
	return s, nil
}

// windowCells returns the cells of a sliding-window cache: the window of
// every sequence that shares it and one batch. (llama-kv-cache-iswa.cpp)
func (s *sizes) windowCells(window int64, full bool) int64 {
	if full {
		return s.nCtxSeq
	}
	n := window
	if s.unified {
		n *= s.nSeq
	}
	return pad(min(s.nCtxSeq, n+s.nUBatch), s.padding)
}
