package lookup

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
)

// ollamaShown is a daemon's description of a model. (ollama api.ShowResponse)
type ollamaShown struct {
	License    string `json:"license"`
	Parameters string `json:"parameters"`
	Template   string `json:"template"`
	System     string `json:"system"`
	Details    struct {
		Format       string `json:"format"`
		Quantization string `json:"quantization_level"`
	} `json:"details"`
	Info         map[string]any   `json:"model_info"`
	Projector    map[string]any   `json:"projector_info"`
	Tensors      []gguf.Described `json:"tensors"`
	Capabilities []string         `json:"capabilities"`
	RemoteHost   string           `json:"remote_host"`
	RemoteModel  string           `json:"remote_model"`
}

// show describes a model by what the daemon says of it: the metadata and the
// tensors of its GGUF header.
func (d *ollamaDaemon) show(ctx context.Context, name ollamaName) (*Result, error) {
	const path = "/api/show"
	ctx, cancel := context.WithTimeout(ctx, daemonShow)
	defer cancel()
	ask, err := json.Marshal(map[string]any{"model": name.String(), "verbose": true})
	if err != nil {
		return nil, err
	}
	raw, err := d.client.Post(ctx, d.base+path, ask, maxShow)
	if err != nil {
		return nil, err
	}
	var s ollamaShown
	if err := d.decode(raw, path, &s); err != nil {
		return nil, err
	}
	switch {
	case s.RemoteHost != "":
		return nil, ollamaCloud(name, s.RemoteHost, s.RemoteModel)
	case s.Details.Format == "safetensors":
		return nil, model.Errorf(model.UnsupportedArchitecture, "model", "%s is stored as safetensors, of which the daemon at %s tells too little", name, d.base).
			WithHint("run this where Ollama's store can be read, and set OLLAMA_MODELS to it")
	case len(s.Tensors) == 0:
		return nil, model.Errorf(model.MalformedFile, d.base+path, "the description of %s lists no tensors", name).
			WithHint("update that Ollama, or set OLLAMA_MODELS to a store that can be read")
	}
	h, err := gguf.FromDescription(s.Info, s.Tensors)
	if err != nil {
		return nil, at(d.base+path, err)
	}
	r := &Result{}
	if err := r.describe(h); err != nil {
		return nil, at(d.base+path, err)
	}
	r.named(name)
	s.addTo(r, "Ollama at "+d.base+": "+path)
	return r, nil
}

// addTo adds what is said beside the header.
func (s *ollamaShown) addTo(r *Result, from string) {
	r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(r.StoredBytes, 10), from+": types and shapes of "+strconv.Itoa(len(s.Tensors))+" tensors"))
	r.Settings = shownSettings(s.Parameters)
	if s.License != "" {
		r.addLicense(s.License, from+": license")
	}
	for _, text := range [...]struct{ name, is string }{{"template", s.Template}, {"system", s.System}} {
		if text.is != "" {
			r.Provenance = append(r.Provenance, fact(text.name, strconv.Itoa(len(text.is))+" bytes", from))
		}
	}
	if len(s.Capabilities) > 0 {
		r.Provenance = append(r.Provenance, fact("capabilities", strings.Join(s.Capabilities, ", "), from))
	}
	if s.Details.Quantization != "" {
		r.Provenance = append(r.Provenance, fact("quantization", s.Details.Quantization, from+": details"))
	}
	if len(s.Projector) > 0 {
		c := Component{Name: "projector", Kind: "projector"}
		if name, ok := s.Projector["general.name"].(string); ok && Clean(name, MaxText) != "" {
			c.Name = Clean(name, MaxText)
		}
		if n, ok := s.Projector["general.parameter_count"].(json.Number); ok {
			c.Parameters, _ = n.Int64()
		}
		r.Components = append(r.Components, c)
		r.Provenance = append(r.Provenance, fact("projector", "", from+": the daemon does not tell its size in bytes"))
	}
}

// shownSettings reads the parameters as the daemon prints them: a name, blanks,
// and the value in Go's notation, one line for each value of a list. They
// become the text that the store's own form becomes.
func shownSettings(text string) map[string]string {
	out := map[string]string{}
	var stop []string
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if value = strings.TrimSpace(value); !ok || len(out) == maxParams {
			continue
		}
		if s, err := strconv.Unquote(value); err == nil {
			value = s
		} else if f, err := strconv.ParseFloat(value, 64); err == nil {
			value = strconv.FormatFloat(f, 'f', -1, 64)
		}
		if name == "stop" { // the only list there is
			stop = append(stop, value)
			continue
		}
		out[Clean(name, MaxText)] = Clean(value, MaxText)
	}
	if len(stop) > 0 {
		out["stop"] = settingText(stop)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
