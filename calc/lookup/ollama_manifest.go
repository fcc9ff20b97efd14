package lookup

import (
	"encoding/json"
	"strings"

	"hwledger/calc/model"
)

// ollamaManifest lists what makes up a model, in the form of a container
// image's manifest. (ollama manifest/manifest.go)
type ollamaManifest struct {
	Config ollamaLayer   `json:"config"`
	Layers []ollamaLayer `json:"layers"`
}

// ollamaLayer is one blob and what it is for.
type ollamaLayer struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	// Name is the file's or the tensor's name in models of safetensors.
	Name string `json:"name"`
}

// ollamaMedia begins the media types of layers; the rest says what one is.
const ollamaMedia = "application/vnd.ollama.image."

// kind returns what the layer is: model, projector, adapter, draft, tensor,
// json, template, params, license …
func (l ollamaLayer) kind() string {
	k, _ := strings.CutPrefix(l.MediaType, ollamaMedia)
	return k
}

// Bounds of a manifest. One of a model whose tensors are layers has some
// hundred bytes for each of up to some ten thousand.
const (
	maxManifest = 32 << 20
	maxLayers   = 200_000
	maxBlob     = 1 << 50
)

// parseManifest reads a manifest and checks all that is later used in a path
// or a sum.
func parseManifest(raw []byte) (*ollamaManifest, error) {
	var m ollamaManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Message: "not a manifest of Ollama", Err: err}
	}
	if len(m.Layers) > maxLayers {
		return nil, model.Errorf(model.MalformedFile, "layers", "%d layers", len(m.Layers))
	}
	if m.Config.Digest != "" {
		if err := m.Config.check(); err != nil {
			return nil, err
		}
	}
	for i := range m.Layers {
		if err := m.Layers[i].check(); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

func (l *ollamaLayer) check() error {
	if !isSHA256(l.Digest) {
		return model.Errorf(model.MalformedFile, "digest", "%q is not sha256 and 64 hexadecimal digits", Clean(l.Digest, MaxText)).
			WithHint("the manifest was not written by Ollama; remove the model and pull it again")
	}
	if l.Size < 0 || l.Size > maxBlob {
		return model.Errorf(model.MalformedFile, "size", "a layer of %d bytes", l.Size)
	}
	return nil
}

// isSHA256 reports whether s is a digest as Ollama accepts it, which is what
// makes it safe as a file's name.
func isSHA256(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256")
	if !ok || len(hex) != 65 || hex[0] != ':' && hex[0] != '-' {
		return false
	}
	for _, c := range []byte(hex[1:]) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// blobName is the name of the layer's file among the store's blobs.
func (l ollamaLayer) blobName() string { return strings.Replace(l.Digest, ":", "-", 1) }

// all returns the layers of a kind.
func (m *ollamaManifest) all(kind string) []ollamaLayer {
	var out []ollamaLayer
	for _, l := range m.Layers {
		if l.kind() == kind {
			out = append(out, l)
		}
	}
	return out
}

// weightBytes sums the layers that hold weights.
func (m *ollamaManifest) weightBytes() int64 {
	var n int64
	for _, l := range m.Layers {
		switch l.kind() {
		case "model", "tensor", "projector", "adapter", "draft":
			n = min(n+l.Size, maxBlob)
		}
	}
	return n
}
