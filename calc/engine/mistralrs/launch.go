package mistralrs

import (
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Launch returns the command of mistral.rs' server with every option that
// changes memory.
func (e mistralrs) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("mistralrs", "serve")
	if l.Model.Format == model.FormatGGUF {
		a.Set("--format", "gguf")
		a.Set("-f", id)
	} else {
		a.Set("-m", id)
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--max-seqs", s.maxSeqs)
	a.Set("--max-seq-len", s.mapLen)
	if s.isq {
		a.Set("--isq", strings.ToLower(l.Load.Weights))
	}
	switch {
	case !s.paged:
		a.Set("--paged-attn", "off")
	case s.memory.mb > 0:
		a.Set("--paged-attn", "on")
		a.Set("--pa-memory-mb", s.memory.mb)
	case s.memory.tokens > 0:
		a.Set("--paged-attn", "on")
		a.Set("--pa-context-len", s.memory.tokens)
	default:
		a.Set("--paged-attn", "on")
		a.Set("--pa-memory-fraction", s.memory.fraction)
	}
	if s.size == 1 {
		a.Set("--pa-cache-type", "f8e4m3")
	}
	a.On("--cpu", s.cpu)
	c := &engine.Command{Argv: a.Argv, Env: map[string]string{}, Image: "ghcr.io/ericlbuehler/mistral.rs",
		Notes: []string{"mistral.rs has no API key: keep it on this machine or put a proxy in front"}}
	if revision != "" {
		c.Notes = append(c.Notes, "the revision "+revision+" has no option: the default branch is loaded")
	}
	if s.tp > 1 {
		c.Notes = append(c.Notes, "tensor parallelism follows from the build (NCCL) and the devices that are visible, not from an option")
	}
	return c, nil
}
