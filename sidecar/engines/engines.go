// Package engines says how each inference engine is run as a sidecar: one file
// for each. What is said of one is from its own documentation and source.
package engines

import (
	"regexp"

	"hwledger/sidecar"
)

// Config is what differs between machines.
type Config struct {
	// OllamaURL and LMStudioURL are where the daemons listen; their defaults
	// when empty.
	OllamaURL, LMStudioURL string
}

// All returns all engines, for each planner's engine the preferred one first.
// A new one is a line here.
func All(c Config) []*sidecar.Engine {
	return []*sidecar.Engine{
		llamaServer(),
		llamaBridge(),
		vllm(),
		sglang(),
		tgi(),
		tensorrtLLM(),
		mistralRS(),
		mlxLM(),
		oMLX(),
		mlxBridge(),
		transformersBridge(),
		ollama(c.OllamaURL),
		lmStudio(c.LMStudioURL),
	}
}

// sign makes a signature of a pattern that ignores case. Without a cause the
// line itself is it.
func sign(kind, cause, pattern string) sidecar.Signature {
	return sidecar.Signature{Kind: kind, Cause: cause, Pattern: sidecar.Lazy(`(?i)` + pattern)}
}

// numbered finds a version such as 0.11.0 or b11669.
var numbered = regexp.MustCompile(`(\d+\.\d+(?:\.\d+)?[\w.+-]*)`)
