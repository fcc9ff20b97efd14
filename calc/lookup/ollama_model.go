package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"hwledger/calc/model"
)

// ollamaModel is a model of a store: its manifest and where it was read.
type ollamaModel struct {
	store    ollamaStore
	name     ollamaName
	path     string
	size     int64
	manifest ollamaManifest
}

// Bounds of the small layers that are read whole.
const (
	maxOllamaJSON = 1 << 20
	maxLicense    = 1 << 20
	maxParams     = 64 // settings
)

// blobs is the store's folder of blobs as a tree.
func (m *ollamaModel) blobs() dirTree {
	return dirTree{dir: filepath.Join(m.store.dir, "blobs"), from: "Ollama's store"}
}

// blob returns the name of a layer's file in blobs(), or an error that says
// which one is missing.
func (m *ollamaModel) blob(ctx context.Context, l ollamaLayer) (string, error) {
	name := l.blobName()
	t := m.blobs()
	b, err := t.open(ctx, name)
	if err == nil {
		return name, b.Close()
	}
	if code(err) != model.ModelNotFound {
		return "", err
	}
	return "", model.Errorf(model.MalformedFile, "model", "%s is not complete: the blob of its %s layer is missing: %s", m.name, l.kind(), Clean(t.path(name), MaxText)).
		WithHint("run 'ollama pull %s', which fetches what is missing", m.name)
}

// resolve describes the model by the headers of its blobs.
func (m *ollamaModel) resolve(ctx context.Context) (*Result, error) {
	var r *Result
	var err error
	models, tensors := m.manifest.all("model"), m.manifest.all("tensor")
	switch {
	case len(models) > 0:
		r, err = m.fromModelLayer(ctx, models)
	case len(tensors) > 0:
		r, err = m.fromTensors(ctx, tensors)
	default:
		return nil, m.weightless(ctx)
	}
	if err != nil {
		return nil, err
	}
	r.named(m.name)
	r.Files = append(r.Files, File{Path: m.path, Bytes: m.size, Role: "index"})
	r.Provenance = append(r.Provenance, fact("manifest", m.name.String(), m.path))
	if err := m.addComponents(ctx, r); err != nil {
		return nil, err
	}
	return r, m.addTexts(ctx, r)
}

// named says that the model was found in Ollama, by its full name.
func (r *Result) named(n ollamaName) {
	r.Reference, r.ResolvedFrom = ollamaPrefix+n.String(), "ollama"
	if r.Model.Name == "" { // the daemon leaves general.name out
		r.Model.Name = n.String()
	}
}

// fromModelLayer describes the model of GGUF blobs; several are one split set.
func (m *ollamaModel) fromModelLayer(ctx context.Context, layers []ollamaLayer) (*Result, error) {
	names := make([]string, len(layers))
	for i, l := range layers {
		var err error
		if names[i], err = m.blob(ctx, l); err != nil {
			return nil, err
		}
	}
	return fromGGUFs(ctx, m.blobs(), names)
}

// weightless explains a manifest without weights: a model that runs in
// Ollama's cloud, or one of a kind that is not known.
func (m *ollamaModel) weightless(ctx context.Context) error {
	var config struct {
		RemoteHost  string `json:"remote_host"`
		RemoteModel string `json:"remote_model"`
	}
	if m.manifest.Config.Digest != "" {
		raw, err := m.blobs().read(ctx, m.manifest.Config.blobName(), maxOllamaJSON)
		if err == nil {
			_ = json.Unmarshal(raw, &config) // other forms name no host
		}
	}
	if config.RemoteHost != "" {
		return ollamaCloud(m.name, config.RemoteHost, config.RemoteModel)
	}
	return model.Errorf(model.MalformedFile, "model", "%s has no layer with weights: %s", m.name, Clean(m.path, MaxText))
}

// ollamaCloud is the error for a model whose weights are not on any machine of
// the user.
func ollamaCloud(name ollamaName, host, remote string) *model.Error {
	return model.Errorf(model.ModelNotFound, "model", "%s runs at %s; its weights are not in Ollama's store", name, Clean(host, MaxText)).
		WithHint("name the model's own repository (org/name) to plan it for your hardware; Ollama calls it %q", Clean(remote, MaxText))
}

// addComponents adds projectors, adapters and draft models.
func (m *ollamaModel) addComponents(ctx context.Context, r *Result) error {
	for _, kind := range [...]string{KindProjector, KindAdapter, KindDraft} {
		for _, l := range m.manifest.all(kind) {
			name, err := m.blob(ctx, l)
			if err != nil {
				return err
			}
			t := m.blobs()
			h, size, err := readGGUF(ctx, t, name)
			c := &Component{Name: kind, Kind: kind}
			switch {
			case err == nil && kind == KindProjector:
				c = projector(h, kind, t.path(name), size)
				c.Chosen = true
			case err == nil:
				c.addGGUF(h, t.path(name), size)
			case code(err) == model.MalformedFile:
				// Adapters from before 2024 are in a form of their own.
				c.Files = []File{{Path: t.path(name), Bytes: l.Size, Role: "weights"}}
				r.Provenance = append(r.Provenance, fact(kind, "", "not read: "+err.Error()))
			default:
				return at(t.path(name), err)
			}
			r.Components = append(r.Components, *c)
		}
	}
	return nil
}

// addTexts adds what the small layers say: settings, licence, and the sizes of
// the texts that take room in the context.
func (m *ollamaModel) addTexts(ctx context.Context, r *Result) error {
	t := m.blobs()
	for _, l := range m.manifest.Layers {
		switch kind := l.kind(); kind {
		case "params":
			raw, err := m.text(ctx, l, maxOllamaJSON)
			if err != nil {
				return err
			}
			if r.Settings, err = ollamaSettings(raw); err != nil {
				return at(t.path(l.blobName()), err)
			}
			r.Provenance = append(r.Provenance, fact("settings", strconv.Itoa(len(r.Settings))+" parameters", "Ollama's store: params layer"))
		case "template", "prompt", "system", "messages":
			r.Provenance = append(r.Provenance, fact(kind, strconv.FormatInt(l.Size, 10)+" bytes", "Ollama's store: size of the layer"))
		case "license":
			raw, err := m.text(ctx, l, maxLicense)
			if err != nil {
				return err
			}
			r.addLicense(string(raw), "Ollama's store: license layer")
		}
	}
	return nil
}

// text reads a small layer.
func (m *ollamaModel) text(ctx context.Context, l ollamaLayer, limit int64) ([]byte, error) {
	name := l.blobName()
	raw, err := m.blobs().read(ctx, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = m.blob(ctx, l)
	}
	if err != nil {
		return nil, pathError(m.blobs().path(name), err)
	}
	return raw, nil
}

// ollamaSettings turns a params layer into text by name: numbers and texts as
// they are, lists as JSON.
func ollamaSettings(raw []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Message: "not the JSON object of parameters that Ollama writes", Err: err}
	}
	if len(all) > maxParams {
		return nil, model.Errorf(model.MalformedFile, "", "%d parameters", len(all))
	}
	out := make(map[string]string, len(all))
	for key, v := range all {
		out[Clean(key, MaxText)] = settingText(v)
	}
	return out, nil
}

// settingText prints a setting: numbers and texts as they are, lists as JSON.
func settingText(v any) string {
	switch v := v.(type) {
	case string:
		return Clean(v, MaxText)
	case json.Number:
		return Clean(v.String(), MaxText)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil { // of what JSON gave or of texts: does not fail
		return ""
	}
	return Clean(b.String(), MaxText)
}
