package lookup

import (
	"context"

	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// mistralParams describes a checkpoint in Mistral's own format, with its
// weights in consolidated files.
const mistralParams = "params.json"

// fromMistral describes a checkpoint by its params.json and the headers of
// consolidated*.safetensors.
func fromMistral(ctx context.Context, t tree) (*Result, error) {
	raw, err := t.read(ctx, mistralParams, MaxConfig)
	if err != nil {
		return nil, pathError(t.path(mistralParams), err)
	}
	r := &Result{Files: []File{{Path: t.path(mistralParams), Bytes: int64(len(raw)), Role: "config"}}}
	config, err := hfconfig.FromMistral(raw)
	if err != nil {
		return nil, at(t.path(mistralParams), err)
	}
	if r.Model, err = hfconfig.Parse(config); err != nil {
		return nil, at(t.path(mistralParams), err)
	}
	if err := attachHeaders(ctx, r, t, config, nil); err != nil {
		return nil, err
	}
	r.Provenance = append([]model.Fact{fact("config", mistralParams, t.origin()+"; Mistral's own format")}, r.Provenance...)
	return r, nil
}
