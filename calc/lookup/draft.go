package lookup

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
	"hwledger/calc/model/safetensors"
)

// draftConfig is what tells a draft model's config.json from a model's.
type draftConfig struct {
	Architectures []string `json:"architectures"`
	Type          string   `json:"model_type"`
	// Algorithm is the kind of speculator: eagle3, medusa, dflash …
	Algorithm  string          `json:"speculators_model_type"`
	Eagle      json.RawMessage `json:"eagle_config"`
	DFlash     json.RawMessage `json:"dflash_config"`
	Heads      int64           `json:"medusa_num_heads"`
	DraftVocab int64           `json:"draft_vocab_size"`
	Base       string          `json:"base_model_name_or_path"`
	Verifier   struct {
		Verifier struct {
			Name string `json:"name_or_path"`
		} `json:"verifier"`
	} `json:"speculators_config"`
}

// draftOf returns what a config.json says when it is that of a draft model,
// nil when it is not.
func draftOf(raw []byte) *draftConfig {
	var c draftConfig
	// Fields of another type than expected are another model's.
	if json.Unmarshal(raw, &c) != nil {
		return nil
	}
	if c.Algorithm == "" {
		c.Algorithm = c.algorithm()
	}
	if c.Algorithm == "" {
		return nil
	}
	if c.Base == "" {
		c.Base = c.Verifier.Verifier.Name
	}
	return &c
}

// algorithm names the kind of speculator by class, type and distinctive keys.
func (c *draftConfig) algorithm() string {
	class := ""
	if len(c.Architectures) > 0 {
		class = strings.ToLower(c.Architectures[0])
	}
	for _, a := range [...]string{"eagle3", "dflash", "medusa", "eagle", "mlpspeculator"} {
		if strings.Contains(class, a) || c.Type == a || c.Type == strings.Replace(a, "mlp", "mlp_", 1) {
			return a
		}
	}
	switch {
	case c.Heads > 0:
		return "medusa"
	case len(c.DFlash) > 0:
		return "dflash"
	case len(c.Eagle) > 0:
		return "eagle"
	}
	return ""
}

// fromDraft describes a draft model: by its headers, by its configuration
// where that decides its weights, or by the size of its files.
func fromDraft(ctx context.Context, t tree, r *Result, d *draftConfig, raw []byte) (*Result, error) {
	c := &Component{Name: "draft", Kind: KindDraft, Chosen: true}
	if len(d.Architectures) > 0 {
		c.Class = Clean(d.Architectures[0], MaxText)
	}
	c.detail("algorithm", d.Algorithm)
	c.detail("target_model", d.Base)
	if d.DraftVocab > 0 {
		c.detail("draft_vocab_size", strconv.FormatInt(d.DraftVocab, 10))
	}
	if d.Heads > 0 {
		c.detail("medusa_num_heads", strconv.FormatInt(d.Heads, 10))
	}
	m, parseErr := hfconfig.ParseDraft(raw)
	stored, err := draftWeights(ctx, t, r, c)
	switch {
	case err != nil:
		return nil, err
	case len(stored) > 0:
		tensors := storedTensors(stored, "", model.Text)
		if parseErr != nil {
			m = &model.Model{Type: d.Type, Architecture: c.Class}
		}
		m.Tensors, m.Exact, m.Format = tensors, true, model.FormatSafetensors
	case parseErr == nil:
		c.Parameters = m.Count().Total
	case c.Bytes == 0:
		return nil, at(t.path(configName), parseErr)
	default:
		whole := model.Tensor{Name: c.Name, Layer: -1, Part: model.Vector, Count: 1, Active: 1, Bytes: c.Bytes}
		m = &model.Model{Type: d.Type, Architecture: c.Class, Format: model.FormatConfig, Exact: true, Tensors: []model.Tensor{whole}}
	}
	if m.Architecture == "" {
		m.Architecture = d.Algorithm
	}
	m.Role = model.RoleDraft
	r.Model, r.Components = m, []Component{*c}
	r.Files = append(r.Files, c.Files...)
	r.StoredBytes, r.StoredByDType = c.Bytes, c.ByDType
	r.Provenance = append(r.Provenance, fact("role", "draft model", configName+": a speculator ("+d.Algorithm+") that runs inside a target model, "+t.origin()))
	return r, nil
}

// draftWeights reads the headers of a draft's weights into the component, or
// the sizes of files without headers.
func draftWeights(ctx context.Context, t tree, r *Result, c *Component) ([]safetensors.Tensor, error) {
	parts, _, err := findParts(ctx, r, t)
	if err != nil {
		return nil, err
	}
	if len(parts) > 0 && len(absent(ctx, t, parts)) == 0 {
		return c.addSafetensors(ctx, t, parts)
	}
	all, err := t.files(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range all {
		if (isPickle(e.name) || e.name == "medusa_lm_head.pt") && t.has(ctx, e.name) {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	return nil, c.addPickles(ctx, t, names)
}
