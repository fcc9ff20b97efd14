package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hwledger/calc/lookup"
)

// TestRecent: a plan of the catalogue's model is kept for a moment, byte for
// byte, and no longer.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSurface(t, Options{Offline: true})
		args := json.RawMessage(`{"model":"Qwen/Qwen3-8B","hardware":"RTX 4090"}`)
		first, again := s.Call(t.Context(), "plan_memory", args), s.Call(t.Context(), "plan_memory", args)
		if first.Failed || first != again {
			t.Errorf("the same plan was made twice: %s", first.Text)
		}
		time.Sleep(keepFor + time.Millisecond) // on the fake clock
		late := s.Call(t.Context(), "plan_memory", args)
		if late == first || string(late.Structured) != string(first.Structured) {
			t.Error("after its time: kept, or not the same")
		}
		for i := range 3 * mostKept {
			s.Call(t.Context(), "plan_memory", json.RawMessage(fmt.Sprintf(`{"model":"Qwen/Qwen3-8B","context_tokens":%d}`, i+1)))
		}
		if n := len(s.recent.answers); n > mostKept {
			t.Errorf("%d answers are kept", n)
		}
		s.Call(t.Context(), "plan_memory", json.RawMessage(`{"model":"Qwen/Qwen3-8B"`+strings.Repeat(" ", mostKeptKey)+`}`))
		for key := range s.recent.answers {
			if len(key) > mostKeptKey {
				t.Errorf("a key of %d bytes is kept", len(key))
			}
		}
	})
}

// What is read from this machine is read again each time: a file may have
// changed, and so may free memory.
func TestRecentKeepsNothingLocal(t *testing.T) {
	s := newSurface(t, Options{Offline: true})
	path := filepath.Join(t.TempDir(), "config.json")
	plan := func(layers int) string {
		config := fmt.Sprintf(`{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"intermediate_size":128,"num_hidden_layers":%d,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":1000,"max_position_embeddings":2048,"torch_dtype":"bfloat16"}`, layers)
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		r := s.Call(t.Context(), "plan_memory", json.RawMessage(fmt.Sprintf(`{"model":%q}`, path)))
		if r.Failed {
			t.Fatal(r.Text)
		}
		return string(r.Structured)
	}
	if plan(2) == plan(4) {
		t.Error("a changed file was not read")
	}
	for _, hardware := range []string{"local", "\\u006cocal", " LOCAL "} {
		args := json.RawMessage(`{"model":"Qwen/Qwen3-8B","hardware":"` + hardware + `"}`)
		if first := s.Call(t.Context(), "plan_memory", args); first == s.Call(t.Context(), "plan_memory", args) {
			t.Errorf("a plan on %q was kept", hardware)
		}
	}
	if len(s.recent.answers) != 0 {
		t.Errorf("%d answers are kept", len(s.recent.answers))
	}
}

// A kept model is not changed by who gets it.
func TestRecentModelsAreCopies(t *testing.T) {
	r := newRecent()
	ctx := context.WithValue(t.Context(), recentKey{}, r)
	req := lookup.Request{Ref: "catalog:Qwen/Qwen3-8B", Offline: true}
	var last *lookup.Result
	for range 3 {
		found, err := resolveRecent(ctx, req)
		if err != nil || found == last || found.Reference != "catalog:Qwen/Qwen3-8B" {
			t.Fatalf("%v: %+v", err, found)
		}
		found.Reference, last = "changed", found
	}
}
