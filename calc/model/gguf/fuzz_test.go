package gguf_test

import (
	"bytes"
	"errors"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// No bytes make the parser or the description panic, and every failure says
// which kind it is.
func FuzzParse(f *testing.F) {
	f.Add(sample().Header())
	big := sample()
	big.BigEndian = true
	f.Add(big.Header())
	for _, hp := range []string{
		`{"name":"a","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":32,"ctx":512}`,
		`{"name":"b","arch":"gemma3","L":7,"d":64,"ff":64,"h":4,"kv":1,"hd":32,"vocab":32,"ctx":512,"win":128,"tied":true}`,
		`{"name":"d","arch":"deepseek2","L":2,"d":64,"ff":64,"h":2,"kv":1,"vocab":32,"ctx":512,"kvl":32,"rope":8,"nope":8,"vd":8,"dense":1,"E":4,"k":2,"nsh":1,"ffe":32,
			"extra":{"attention.key_length":40,"attention.key_length_mla":16,"attention.value_length_mla":8}}`,
		`{"name":"c","arch":"mamba2","L":1,"d":64,"vocab":32,"ctx":512,"ssm":[4,128,16,4,1],"ff":0,"h":0,"kv":0}`,
	} {
		b, err := ggufgen.Build([]byte(hp))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b.Header())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := gguf.Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != model.MalformedFile {
				t.Fatalf("error %v", err)
			}
			return
		}
		m, err := h.Model()
		if err != nil {
			if _, ok := errors.AsType[*model.Error](err); !ok {
				t.Fatalf("error %v", err)
			}
			return
		}
		m.Count()
		var stores []model.Store
		for i := range m.Layers {
			for _, x := range m.Layers[i].Mixers {
				stores = x.AppendStores(stores[:0], 1)
			}
		}
	})
}
