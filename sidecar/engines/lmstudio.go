package engines

import (
	"context"
	"net/http"
	"strings"

	"hwledger/sidecar"
)

// lmStudio is LM Studio's server, by its REST API of version 1 (release 0.4).
func lmStudio(url string) *sidecar.Engine {
	if url == "" {
		url = "http://127.0.0.1:1234"
	}
	return &sidecar.Engine{
		Name: "lmstudio", Plans: "lmstudio", Models: "/v1/models", Daemon: lmStudioDaemon{api{strings.TrimSuffix(url, "/")}},
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "", `insufficient system resources|not enough memory`),
			sign(sidecar.BadModel, "", `model_not_found|model.* not found|failed to load model`),
		},
	}
}

type lmStudioDaemon struct{ api }

func (d lmStudioDaemon) URL() string { return d.base + "/v1" }

// Version is not told by the server; the list of models shows that it runs.
func (d lmStudioDaemon) Version(ctx context.Context) (string, error) {
	_, err := d.Loaded(ctx)
	return "", err
}

func (d lmStudioDaemon) Load(ctx context.Context, model string, o sidecar.LoadOptions) error {
	in := map[string]any{"model": model}
	if o.ContextTokens > 0 {
		in["context_length"] = o.ContextTokens
	}
	return d.do(ctx, http.MethodPost, "/api/v1/models/load", in, nil)
}

// Unload unloads every instance of the model.
func (d lmStudioDaemon) Unload(ctx context.Context, model string) error {
	list, err := d.models(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		for _, i := range m.Instances {
			if m.Key == model || i.ID == model {
				if err := d.do(ctx, http.MethodPost, "/api/v1/models/unload", map[string]any{"instance_id": i.ID}, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lmModel is an entry of LM Studio's list.
type lmModel struct {
	Key       string `json:"key"`
	Instances []struct {
		ID     string `json:"id"`
		Config struct {
			Context int64 `json:"context_length"`
		} `json:"config"`
	} `json:"loaded_instances"`
}

func (d lmStudioDaemon) models(ctx context.Context) ([]lmModel, error) {
	var out struct {
		Models []lmModel `json:"models"`
	}
	return out.Models, d.do(ctx, http.MethodGet, "/api/v1/models", nil, &out)
}

// Loaded lists what is loaded. The server does not say how much memory that
// takes.
func (d lmStudioDaemon) Loaded(ctx context.Context) ([]sidecar.Loaded, error) {
	list, err := d.models(ctx)
	if err != nil {
		return nil, err
	}
	var out []sidecar.Loaded
	for _, m := range list {
		for _, i := range m.Instances {
			out = append(out, sidecar.Loaded{Model: m.Key, ContextTokens: i.Config.Context})
		}
	}
	return out, nil
}
