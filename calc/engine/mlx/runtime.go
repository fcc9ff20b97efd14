package mlx

import "hwledger/calc/engine"

// Measured beside the formulas. LM Studio's makers found up to 2.41 GiB that
// weights, caches, scores and embeddings do not explain, over dense and
// mixture models of 4 and 8 bits on several machines (mlx-engine pull request
// 345). The rows of testdata/observations/mlx.jsonl leave 0.25 to 1.6 GB,
// nearly the same at every length: 0.25 for DeepSeek-V3 with latent rows, 1.2
// and 1.6 with keys by head, 0.5 for Llama-3.1-8B, 1.2 to 1.4 for
// Qwen3.6-35B-A3B. The middle is near the median of the four; the same rows
// are scored, so their errors flatter it.
const (
	flightMiB     = 860
	flightLowMiB  = 230
	flightHighMiB = 2468
)

// flight is what queued command buffers hold: outputs of layers that were
// computed and not yet released.
func flight(on []int) engine.Term {
	return engine.Term{
		Name: "command buffers in flight", Category: engine.Workspace, On: on,
		Bytes: flightMiB * engine.MiB, Low: flightLowMiB * engine.MiB, High: flightHighMiB * engine.MiB,
		Formula:    "about the median of what measured peaks leave after the other terms; the high end is the largest that LM Studio's makers found",
		Inputs:     []engine.Input{{Name: "samples", Value: 4, From: "testdata/observations/mlx.jsonl"}},
		Confidence: engine.Measured, Source: "mlx-lm issue 1480, pull request 839; mlx-engine pull request 345",
	}
}

// runtimeTerms returns what the server process itself takes, and the caches it
// is told to keep.
func (p *planner) runtimeTerms() []engine.Term {
	out := []engine.Term{{
		Name: "server process", Category: engine.Runtime, On: p.r.On,
		Bytes: 400 * engine.MiB, Low: 200 * engine.MiB, High: 1024 * engine.MiB,
		Formula: "Python, tokenizer and Metal libraries", Confidence: engine.Estimated, Source: "planning range; no log separates it",
	}}
	kept := func(name string, n engine.Bytes, source string) {
		if n > 0 {
			out = append(out, engine.Term{
				Name: name, Category: engine.Runtime, On: p.r.On, Bytes: n, Low: 0, High: n,
				Formula:    "its largest size; it fills as requests end",
				Inputs:     []engine.Input{{Name: "bytes", Value: int64(n), From: "flags"}},
				Confidence: engine.Estimated, Source: source,
			})
		}
	}
	kept("hot cache", p.hot, "oMLX hot_cache_max_size")
	kept("kept prompt caches", p.prompt, "mlx-lm server prompt_cache_bytes")
	if h := p.now; p.ssd && h.state > 0 {
		out = append(out, engine.Term{
			Name: "boundary snapshots", Category: engine.Workspace, On: p.r.On,
			Bytes: engine.Bytes(h.state * p.r.Sequences), Low: 0, High: engine.Bytes(4 * h.state * p.r.Sequences),
			Formula:    "sequences × states, copied at the end of each block until they are on disk",
			Inputs:     []engine.Input{{Name: "sequences", Value: p.r.Sequences, From: "argument"}, {Name: "block_tokens", Value: p.blockTokens, From: "flags or default"}},
			Confidence: engine.Estimated, Source: "oMLX scheduler boundary snapshots",
		})
	}
	return out
}
