package ggufgen

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"sync"
)

// shapes.jsonl holds hyperparameters of well-known models, one a line, in the
// form that Build reads.
//
//go:embed shapes.jsonl
var shapeLines []byte

var shapes = sync.OnceValue(func() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, line := range bytes.Split(bytes.TrimSpace(shapeLines), []byte("\n")) {
		var h struct{ Name string }
		if err := json.Unmarshal(line, &h); err != nil {
			panic(err) // the embedded text
		}
		out[h.Name] = line
	}
	return out
})

// Shape returns the hyperparameters of a well-known model by its short name
// ("qwen3-8b", "deepseek-v3"), and whether there are any.
func Shape(name string) (json.RawMessage, bool) {
	raw, ok := shapes()[name]
	return raw, ok
}
