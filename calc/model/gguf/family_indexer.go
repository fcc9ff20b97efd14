package gguf

import "hwledger/calc/model"

// index reads the keys of a sparse indexer.
func (b *builder) index(owns bool) *model.Indexer {
	x := &model.Indexer{Heads: b.k.need("attention.indexer.head_count"), HeadDim: b.k.need("attention.indexer.key_length"),
		TopK: b.k.int("attention.indexer.top_k", 0), Shared: !owns}
	_ = b.positive("attention.indexer.key_length", x.Heads, x.HeadDim) // kept in b.k.err
	return x
}

// deepseekIndexer: every layer of the trunk has one; MTP layers attend to all.
func deepseekIndexer(b *builder, layer int) *model.Indexer {
	if layer >= b.n {
		return nil
	}
	return b.index(true)
}

// glmIndexer: attention.indexer.types lists the layers that own one. Without
// it files for up to a million tokens have one in every layer, later ones in
// the first two and then in every fourth. (src/models/glm-dsa.cpp)
func glmIndexer(b *builder, layer int) *model.Indexer {
	if layer >= b.n {
		return nil
	}
	if list, ok := b.k.array("attention.indexer.types", b.n); ok {
		return b.index(list[layer] != 0)
	}
	const longContext = 1 << 20
	return b.index(b.m.Context < longContext || layer < 2 || layer%4 == 2)
}

// hunyuanIndexer: checkpoints without top_k attend to everything.
func hunyuanIndexer(b *builder, layer int) *model.Indexer {
	if layer >= b.n || b.k.int("attention.indexer.top_k", 0) == 0 {
		return nil
	}
	list, ok := b.k.array("attention.indexer.types", b.n)
	return b.index(ok && list[layer] != 0)
}

// compressed describes DeepSeek-V4's attention. Layers with ratio 4 choose
// compressed rows with an indexer. (src/models/deepseek4.cpp)
func (b *builder) compressed(i int) (*model.Compressed, error) {
	k := &b.k
	c := &model.Compressed{Heads: b.heads[i], HeadDim: k.need("attention.key_length"), RopeDim: k.int("rope.dimension_count", 0),
		Window: b.windows[i], QLoRARank: k.need("attention.q_lora_rank"),
		OLoRARank: k.need("attention.output_lora_rank"), OGroups: k.need("attention.output_group_count"),
		Sinks: b.parts[i].has("attn_sinks.weight")}
	if i >= b.n {
		return c, k.err
	}
	ratios, ok := k.array("attention.compress_ratios", b.n)
	if !ok {
		k.fail("attention.compress_ratios", "must list the layers")
		return nil, k.err
	}
	if c.Ratio = ratios[i]; c.Ratio < 0 || c.Ratio > maxSize {
		k.fail("attention.compress_ratios", "has the value %d", c.Ratio)
	}
	if c.Ratio == 4 {
		c.Indexer = b.index(true)
	}
	return c, b.positive("attention.head_count", c.Heads, c.HeadDim, c.OGroups)
}
