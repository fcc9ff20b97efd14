package engines

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hwledger/sidecar"
)

// ollama is Ollama's daemon. A model is loaded by a request without a prompt,
// and unloaded by one that keeps it for no time (docs/api.md).
func ollama(url string) *sidecar.Engine {
	if url == "" {
		url = "http://127.0.0.1:11434"
	}
	return &sidecar.Engine{
		Name: "ollama", Plans: "ollama", Models: "/v1/models", Daemon: ollamaDaemon{api{strings.TrimSuffix(url, "/")}},
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "", `model requires more system memory|requires more system memory`),
			sign(sidecar.BadModel, "", `model.* not found`),
		},
	}
}

type ollamaDaemon struct{ api }

func (d ollamaDaemon) URL() string { return d.base + "/v1" }

func (d ollamaDaemon) Version(ctx context.Context) (string, error) {
	var out struct {
		Version string `json:"version"`
	}
	return out.Version, d.do(ctx, http.MethodGet, "/api/version", nil, &out)
}

// Counts reports the releases before 0.30: what they say of a model that
// llama.cpp runs is what they had added up before it was loaded, without its
// compute buffer and the embedding (llm/server.go). Later ones read the log.
func (d ollamaDaemon) Counts(release string) bool {
	var minor int
	_, err := fmt.Sscanf(strings.TrimPrefix(release, "v"), "0.%d", &minor)
	return err == nil && minor > 0 && minor < 30 // 0.0.0 is no release
}

func (d ollamaDaemon) Load(ctx context.Context, model string, o sidecar.LoadOptions) error {
	in := map[string]any{"model": model, "stream": false, "options": ollamaOptions(o)}
	if o.Keep {
		in["keep_alive"] = -1
	}
	return d.do(ctx, http.MethodPost, "/api/generate", in, nil)
}

// defaultBatch is what plans have for Ollama when no batch is asked for.
const defaultBatch = 512

// ollamaOptions are the options of a request that say how a model is loaded.
// How many sequences it serves is OLLAMA_NUM_PARALLEL of the daemon's.
func ollamaOptions(o sidecar.LoadOptions) map[string]any {
	options := map[string]any{}
	if o.ContextTokens > 0 {
		options["num_ctx"] = o.ContextTokens
	}
	switch {
	case o.BatchTokens > 0:
		options["num_batch"] = o.BatchTokens
	case o.Keep: // from 0.30 on Ollama takes more by itself where there is room
		options["num_batch"] = defaultBatch
	}
	if o.GPULayers != nil {
		options["num_gpu"] = *o.GPULayers
	}
	return options
}

// Unload returns when the model is gone: Ollama answers before it is, and lists
// it until then.
func (d ollamaDaemon) Unload(ctx context.Context, model string) error {
	if err := d.do(ctx, http.MethodPost, "/api/generate", map[string]any{"model": model, "stream": false, "keep_alive": 0}, nil); err != nil {
		return err
	}
	tick := time.NewTicker(unloadPoll)
	defer tick.Stop()
	for {
		all, err := d.Loaded(ctx)
		if err != nil || !slices.ContainsFunc(all, func(l sidecar.Loaded) bool { return l.Model == model }) {
			return err
		}
		select {
		case <-tick.C: // it tells nobody
		case <-ctx.Done():
			return fmt.Errorf("the daemon still holds %s: %w", model, ctx.Err())
		}
	}
}

// unloadPoll is how often it is asked whether a model is gone.
const unloadPoll = 20 * time.Millisecond

func (d ollamaDaemon) Loaded(ctx context.Context) ([]sidecar.Loaded, error) {
	var ps struct {
		Models []struct {
			Name    string `json:"name"`
			Model   string `json:"model"`
			Size    int64  `json:"size"`
			VRAM    int64  `json:"size_vram"`
			Context int64  `json:"context_length"`
		} `json:"models"`
	}
	if err := d.do(ctx, http.MethodGet, "/api/ps", nil, &ps); err != nil {
		return nil, err
	}
	var out []sidecar.Loaded
	for _, m := range ps.Models {
		out = append(out, sidecar.Loaded{Model: strings.TrimSuffix(m.Model, ":latest"), ContextTokens: m.Context, Bytes: m.Size, OnDevice: m.VRAM})
		if strings.HasSuffix(m.Model, ":latest") {
			out = append(out, sidecar.Loaded{Model: m.Model, ContextTokens: m.Context, Bytes: m.Size, OnDevice: m.VRAM})
		}
	}
	return out, nil
}
