package llamacpp

import "hwledger/calc/engine"

// Ollama returns Ollama: llama.cpp with a batch of 512 and logits for the
// whole batch. Load.Version is Ollama's own; it starts llama.cpp b10488.
func Ollama() engine.Engine {
	return &llama{name: "ollama", batch: 512, pinned: "b10488"}
}
