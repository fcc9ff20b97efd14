package lookup

import (
	"context"
	"encoding/json"
	"strings"

	"hwledger/calc/model"
)

// modulesName is the file in which sentence-transformers lists what follows
// the encoder: pooling, normalisation, further projections.
const modulesName = "modules.json"

// addModules adds the modules of a sentence-transformers model that have
// weights in a folder of their own.
func addModules(ctx context.Context, r *Result, t tree) error {
	if !t.has(ctx, modulesName) {
		return nil
	}
	raw, err := t.read(ctx, modulesName, MaxConfig)
	if err != nil {
		return pathError(t.path(modulesName), err)
	}
	modules, err := parseModules(raw)
	if err != nil {
		return at(t.path(modulesName), err)
	}
	for _, m := range modules {
		sub := below(t, m.Path)
		c := Component{Name: m.Path, Kind: KindOther, Class: Clean(m.Type[strings.LastIndexByte(m.Type, '.')+1:], MaxText), Chosen: true}
		switch {
		case sub.has(ctx, "model.safetensors"):
			_, err = c.addSafetensors(ctx, sub, []string{"model.safetensors"})
		case sub.has(ctx, "pytorch_model.bin"):
			err = c.addPickles(ctx, sub, []string{"pytorch_model.bin"})
		default:
			continue
		}
		if err != nil {
			return err
		}
		r.Components = append(r.Components, c)
	}
	return nil
}

// module is one entry of modules.json.
type module struct {
	Path string `json:"path"`
	Type string `json:"type"`
}

// parseModules reads a modules.json: the modules in folders of their own.
func parseModules(raw []byte) ([]module, error) {
	var all, out []module
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: modulesName, Message: "not a list of modules", Err: err}
	}
	for _, m := range all {
		switch {
		case m.Path == "": // the encoder itself
		case !partName(m.Path):
			return nil, model.Errorf(model.MalformedFile, modulesName, "names %.80q, which is not a folder of the model", m.Path)
		default:
			out = append(out, m)
		}
	}
	if len(out) > maxParts {
		return nil, model.Errorf(model.MalformedFile, modulesName, "lists %d modules", len(out))
	}
	return out, nil
}
