package gguf

// gemma3nKVLayers: 20 layers keep a cache, whatever the file says.
// (src/models/gemma3n.cpp)
func gemma3nKVLayers(b *builder) int { return min(b.n, 20) }

// gemma4KVLayers: the last shared_kv_layers of block_count keep none.
// (src/models/gemma4.cpp)
func gemma4KVLayers(b *builder) int {
	shared := b.k.int("attention.shared_kv_layers", 0)
	if shared > int64(b.all)-2 {
		b.k.fail("attention.shared_kv_layers", "is %d of %d layers", shared, b.all)
		return b.all
	}
	return b.all - int(shared)
}
