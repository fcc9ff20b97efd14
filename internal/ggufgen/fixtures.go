package ggufgen

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"hwledger/calc/model/ggml"
)

// BigVocabulary returns a header whose vocabulary is that of a current model:
// 151936 tokens with scores and types, 151387 merges, 483 tensors, about
// 6.8 MB.
func BigVocabulary() *File {
	f, err := Build([]byte(`{"name":"big-vocabulary","arch":"qwen3moe","L":48,"d":2048,"ff":6144,"h":32,"kv":4,"hd":128,
		"vocab":151936,"ctx":262144,"E":128,"k":8,"ffe":768}`))
	if err != nil {
		panic(err) // the text above
	}
	// 483 tensors, as when each layer has ten of its twelve.
	f.Tensors = f.Tensors[:483]
	return f.BigVocabulary()
}

// BigVocabulary gives the file a vocabulary of 151936 tokens with scores,
// types and 151387 merges.
func (f *File) BigVocabulary() *File {
	const tokens, merges = 151936, 151387
	text := make([]string, tokens)
	for i := range text {
		text[i] = fmt.Sprintf("t%06d%s", i, "abcd"[:i%5])
	}
	pairs := make([]string, merges)
	for i := range pairs {
		pairs[i] = fmt.Sprintf("m%04d n%05d", i%9973, i%99989)
	}
	return f.Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", "qwen2").
		Set("tokenizer.ggml.tokens", text).Set("tokenizer.ggml.scores", make([]float32, tokens)).
		Set("tokenizer.ggml.token_type", make([]int32, tokens)).Set("tokenizer.ggml.merges", pairs)
}

// TinyRunnable returns a whole file that llama-server loads and runs: two
// layers of random weights with a byte-level vocabulary, under 1 MB.
func TinyRunnable() ([]byte, error) {
	return Runnable(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":286,"ctx":2048}`)
}

// bytewise is a vocabulary of control tokens, bytes and letters, filled up to
// n tokens, with the type of each.
func bytewise(n int64) ([]string, []int32) {
	tokens := []string{"<unk>", "<s>", "</s>"}
	types := []int32{2, 3, 3}
	for i := range 256 {
		tokens, types = append(tokens, fmt.Sprintf("<0x%02X>", i)), append(types, 6)
	}
	for _, c := range "\u2581abcdefghijklmnopqrstuvwxyz" {
		tokens, types = append(tokens, string(c)), append(types, 1)
	}
	for i := len(tokens); int64(i) < n; i++ {
		tokens, types = append(tokens, fmt.Sprintf("word%d", i)), append(types, 1)
	}
	return tokens, types
}

// Runnable returns a whole file of a model with at least 286 tokens, as Build
// takes it, with random F32 weights and a byte-level vocabulary.
func Runnable(hyperparameters string) ([]byte, error) {
	f, err := Build([]byte(hyperparameters))
	if err != nil {
		return nil, err
	}
	var h struct{ Vocab int64 }
	if err := json.Unmarshal([]byte(hyperparameters), &h); err != nil {
		return nil, err
	}
	tokens, types := bytewise(h.Vocab)
	f.Set("tokenizer.ggml.model", "llama").Set("tokenizer.ggml.pre", "default").
		Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.scores", make([]float32, len(tokens))).
		Set("tokenizer.ggml.token_type", types).Set("tokenizer.ggml.bos_token_id", 1).
		Set("tokenizer.ggml.eos_token_id", 2).Set("tokenizer.ggml.unknown_token_id", 0)
	for i := range f.Tensors {
		f.Tensors[i].Type = ggml.F32
	}
	out := f.Header()
	r := rand.New(rand.NewPCG(1, 2))
	for _, t := range f.Tensors {
		out = appendWeights(out, r, t)
	}
	return out, nil
}

// appendWeights appends ones for a norm and small random numbers for a matrix.
func appendWeights(out []byte, r *rand.Rand, t Tensor) []byte {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d
	}
	for range n {
		v := float32(1)
		if len(t.Dims) > 1 {
			v = float32(r.NormFloat64() * 0.08)
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return append(out, make([]byte, -len(out)&31)...)
}
