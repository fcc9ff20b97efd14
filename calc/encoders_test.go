package calc

import (
	"context"
	"strings"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/lookup"
)

// TestCrossAttention: an encoder-decoder keeps its own tokens and those of the
// encoder apart. Whisper-large-v3's are 20 heads of 64 in 32 layers, 1500
// frames: 2·32·1280·2 bytes for each position of either kind.
func TestCrossAttention(t *testing.T) {
	r, err := lookup.Resolve(context.Background(), lookup.Request{Ref: "catalog:openai/whisper-large-v3"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := Plan(Request{Model: r.Model, Engine: "ideal", Load: engine.Load{ContextTokens: 448, Sequences: 2}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Bytes{}
	for _, x := range res.Terms {
		got[x.Name] = x.Bytes
	}
	const position = 163_840
	if got["kv_cache"] != 2*448*position || got["cross_attention_cache"] != 2*1500*position || res.Cache.FixedPerSequence != 1500*position || res.Cache.MarginalPerToken != position {
		t.Errorf("%v, %+v", got, res.Cache)
	}
}

// Which engine takes a model that is no decoder when none is named.
func TestEngineForEncoders(t *testing.T) {
	for _, c := range []struct{ ref, engine string }{
		{"catalog:openai/whisper-large-v3", "vllm"},
		{"catalog:BAAI/bge-m3", "vllm"},
		{"catalog:google-t5/t5-large", "ideal"},
		{"catalog:facebook/bart-base", "ideal"},
	} {
		r, err := lookup.Resolve(context.Background(), lookup.Request{Ref: c.ref})
		if err != nil {
			t.Fatal(err)
		}
		res, err := Plan(Request{Model: r.Model})
		if err != nil || res.Engine != c.engine {
			t.Errorf("%s: %+v, %v; want %s", c.ref, res, err, c.engine)
		}
		if keeps := res != nil && res.Totals.KVCache > 0; keeps != r.Model.EncDec {
			t.Errorf("%s keeps a cache: %v", c.ref, keeps)
		} else if res != nil && !keeps && (len(res.Notes) == 0 || !strings.HasPrefix(res.Notes[0], "no KV cache")) {
			t.Errorf("%s does not say that it keeps none: %q", c.ref, res.Notes)
		}
	}
}
