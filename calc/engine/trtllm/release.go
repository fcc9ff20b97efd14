package trtllm

import "hwledger/calc/engine/paged"

// newest is the release that unknown and unnamed versions are planned as.
var newest = paged.Release{1, 3, 0}

// The releases at which a memory rule changed.
var (
	// blocksOf32: 32 tokens a block by default, 64 before.
	blocksOf32 = paged.Release{0, 18, 0}
	// pytorchDefault: the PyTorch backend is the default, engines before.
	pytorchDefault = paged.Release{1, 0, 0}
	// derivedWindows: a pool for each window length follows from the model's
	// layer types; before, max_attention_window has to ask for it.
	derivedWindows = paged.Release{1, 3, 0}
)
