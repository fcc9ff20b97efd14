package gguf_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// BenchmarkParse reads the header of a model with 151936 tokens from a file,
// as a user's is: at most 6 ms and 1 MB allocated.
func BenchmarkParse(b *testing.B) {
	f := ggufgen.BigVocabulary()
	path := filepath.Join(b.TempDir(), "big.gguf")
	if err := f.WriteSparse(path); err != nil {
		b.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(f.Header())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gguf.Parse(file, info.Size()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkModel describes a model of 48 layers and 483 tensors.
func BenchmarkModel(b *testing.B) {
	f, err := ggufgen.Build([]byte(`{"name":"m","arch":"qwen3moe","L":48,"d":2048,"ff":6144,"h":32,"kv":4,"hd":128,
		"vocab":151936,"ctx":262144,"E":128,"k":8,"ffe":768}`))
	if err != nil {
		b.Fatal(err)
	}
	h, err := gguf.Parse(bytes.NewReader(f.Header()), -1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Model(); err != nil {
			b.Fatal(err)
		}
	}
}

// The budget that the benchmark shows is held in allocations too, so that a
// change that allocates for each string fails here.
func TestParseAllocatesLittle(t *testing.T) {
	head := ggufgen.BigVocabulary().Header()
	r := bytes.NewReader(head)
	res := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gguf.Parse(r, int64(len(head))); err != nil {
				b.Fatal(err)
			}
		}
	})
	if got := res.AllocedBytesPerOp(); got > 1<<20 {
		t.Errorf("%d bytes allocated, want at most 1 MB", got)
	}
	if got := res.AllocsPerOp(); got > 2000 {
		t.Errorf("%d allocations", got)
	}
}
