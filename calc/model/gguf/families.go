package gguf

import "hwledger/calc/model"

// family is what an architecture does beyond the keys and tensors that speak
// for themselves. The zero family is a plain decoder: every layer attends to
// the whole context, experts where there are expert tensors, recurrent mixers
// where there are theirs.
type family struct {
	window *windowRule
	// noCache: an encoder or diffusion model, for which llama.cpp makes no
	// cache.
	noCache bool
	// noHead: there is no output projection, nor is the embedding used as one.
	noHead bool
	encDec bool
	// anyRows: projections have other shapes than heads × size.
	anyRows bool
	rwkv    int64 // version of the time mix
	// prefix is what layers' tensors begin with, "" for "blk.".
	prefix string
	// refuse says why a known architecture is not described.
	refuse string

	// blocks is the number of layers where block_count is not.
	blocks func(*keys) int64
	// kvLayers returns how many layers keep a cache; the later ones read that
	// of the last one of their kind.
	kvLayers func(*builder) int
	// mixers describes layers whose tensors do not tell what they are; it
	// returns nil for those that do.
	mixers func(b *builder, layer int) ([]model.Mixer, error)
	// indexer describes the sparse indexer of a latent attention layer.
	indexer func(b *builder, layer int) *model.Indexer
	// finish adds what needs all layers.
	finish func(*builder)
}

// plain are the architectures without rules of their own.
var plain = [...]string{
	"llama", "llama-embed", "deci", "falcon", "grok", "gpt2", "gptj", "gptneox", "mpt", "baichuan", "starcoder", "starcoder2",
	"refact", "bloom", "stablelm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "qwen3tts",
	"qwen3next", "qwen35", "qwen35moe", "phi2", "phi3", "phimoe", "plamo", "plamo2", "codeshell", "orion", "internlm2",
	"minicpm", "minicpm3", "gemma", "xverse", "command-r", "dbrx", "olmo", "olmoe", "openelm", "arctic", "deepseek",
	"deepseek2", "deepseek2-ocr", "mistral3", "mistral4", "chatglm", "glm4", "glm4moe", "bitnet", "jais", "jais2",
	"nemotron", "nemotron_h", "nemotron_h_moe", "exaone", "granite", "granitemoe", "granitehybrid", "chameleon", "plm",
	"bailingmoe", "bailingmoe2", "bailingmoe3", "dots1", "arcee", "ernie4_5", "ernie4_5-moe", "paddleocr",
	"hunyuan-moe", "hunyuan-dense", "hunyuan_vl", "hy_v3", "smollm3", "seed_oss", "grovemoe", "apertus", "minimax-m2", "cogvlm",
	"pangu-embedded", "maincoder", "minimax-m3", "talkie", "mamba", "mamba2", "jamba", "falcon-h1", "kimi-linear", "kimi-k3", "lfm2moe",
}

// families are the architectures that are known by name.
var families = func() map[string]family {
	f := map[string]family{
		"gemma2":       {window: &windowRule{def: 4096, period: 2}},
		"gemma3":       {window: &windowRule{period: 6}},
		"gemma3n":      {window: &windowRule{required: true, period: 5}, kvLayers: gemma3nKVLayers},
		"gemma4":       {window: &windowRule{required: true, listed: true}, kvLayers: gemma4KVLayers},
		"gpt-oss":      {window: &windowRule{required: true, period: 2}},
		"llama4":       {window: &windowRule{def: 8192, force: 8192, period: 4, chunked: true}},
		"cohere2":      {window: &windowRule{required: true, period: 4}},
		"cohere2moe":   {window: &windowRule{required: true, period: 4, denseFirst: true}},
		"exaone4":      {window: &windowRule{def: 4096, period: 4, onlyLayers: 64}},
		"exaone-moe":   {window: &windowRule{required: true, period: 4}},
		"olmo2":        {window: &windowRule{period: 4}},
		"smallthinker": {window: &windowRule{force: 4096, period: 4, denseFirst: true}},
		"afmoe":        {window: &windowRule{period: 4}},
		"laguna":       {window: &windowRule{period: 4, denseFirst: true}},
		"mellum":       {window: &windowRule{period: 4}},
		"muse-glimmer": {window: &windowRule{required: true, period: 4}},
		"plamo3":       {window: &windowRule{period: 8}},
		"mimo2":        {window: &windowRule{required: true, listed: true}},
		"step35":       {window: &windowRule{required: true, listed: true}},
		"granite_swa":  {window: &windowRule{required: true, listed: true}},
		"maple":        {window: &windowRule{required: true, listed: true}},
		"spark2_5":     {window: &windowRule{required: true, listed: true}},
		"lfm2":         {window: &windowRule{fixed: true}},

		"deepseek32": {indexer: deepseekIndexer},
		"glm-dsa":    {indexer: glmIndexer},
		"hy_v4":      {indexer: hunyuanIndexer},
		"deepseek4":  {window: &windowRule{required: true, fixed: true}},
		"minimax-01": {mixers: minimax01Mixers},
		"nanbeige":   {finish: nanbeigeLoops},

		"rwkv6": {rwkv: 6}, "rwkv6qwen2": {rwkv: 6}, "rwkv7": {rwkv: 7}, "arwkv7": {rwkv: 7},

		"t5":              {encDec: true, blocks: t5Blocks, prefix: "dec.blk."},
		"t5encoder":       {noCache: true, noHead: true, prefix: "enc.blk."},
		"modern-bert":     {noCache: true, noHead: true, window: &windowRule{period: 3, denseFirst: true}},
		"gemma-embedding": {noCache: true, noHead: true, window: &windowRule{required: true, period: 6}},

		"qwen4exp":         {refuse: "hyper-connections, an indexer on grouped attention and n-gram embeddings (hyper_connection.*, attention.indexer.*, ple.*) are not described yet"},
		"dots3note":        {refuse: "latent attention of two sizes by layer (attention.kv_lora_rank_swa) is not described yet"},
		"hrm_text":         {refuse: "layers repeated in two stacks (hrm.*) are not described yet"},
		"graniteswitch":    {refuse: "weights switched by token (lora_a, lora_b) are not described yet"},
		"eagle3":           {refuse: "it is a draft model that runs inside another; give the target model"},
		"dflash":           {refuse: "it is a draft model that runs inside another; give the target model"},
		"gemma4-assistant": {refuse: "it is a draft model that runs inside another; give the target model"},
		"wavtokenizer-dec": {refuse: "it decodes audio tokens and is no language model"},
		"pockettts":        {refuse: "it synthesises speech and is no language model"},
	}
	for _, arch := range plain {
		f[arch] = family{}
	}
	for _, arch := range [...]string{"bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "eurobert"} {
		f[arch] = family{noCache: true, noHead: true}
	}
	for _, arch := range [...]string{"dream", "llada", "llada-moe", "rnd1"} {
		f[arch] = family{noCache: true}
	}
	return f
}()
