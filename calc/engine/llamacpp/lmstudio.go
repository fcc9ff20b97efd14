package llamacpp

import "hwledger/calc/engine"

// LMStudio returns the llama.cpp runtime of LM Studio: four slots that share
// the context (n_parallel, bug tracker issue 2061), a batch of 512, and caches
// of full size for sliding layers, as its logs of 2025 say. Load.Version is LM
// Studio's own; which build is inside its runtimes is not published, so the
// newest rules hold.
func LMStudio() engine.Engine {
	return &llama{name: "lmstudio", batch: 512, slots: 4, unified: true, swaFull: true, inside: func(string) (inside, error) { return inside{version: Newest}, nil }}
}
