package gguf

// t5Blocks: block_count is the encoder's, the decoder may have its own.
// (src/models/t5.cpp)
func t5Blocks(k *keys) int64 { return k.int("decoder_block_count", k.need("block_count")) }
