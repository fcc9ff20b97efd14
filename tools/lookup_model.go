package tools

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// ModelQuery is the input of lookup_model.
type ModelQuery struct {
	ModelArgs
	Offline bool   `json:"offline,omitempty" doc:"Do not use the network." default:"false"`
	Detail  string `json:"detail,omitempty" enum:"summary,layers,tensors" default:"summary" doc:"layers adds every decoder layer; tensors adds the weights, equal ones counted together." alias:"verbose,level"`
}

// ModelInfo is the output of lookup_model. What is not known is left out.
type ModelInfo struct {
	Reference    string `json:"reference"`
	ResolvedFrom string `json:"resolved_from"`
	Architecture string `json:"architecture"`
	ModelType    string `json:"model_type"`

	ParametersTotal  int64 `json:"parameters_total"`
	ParametersActive int64 `json:"parameters_active"`
	ParametersMTP    int64 `json:"parameters_mtp,omitempty"`
	ParametersVision int64 `json:"parameters_vision,omitempty"`
	ParametersAudio  int64 `json:"parameters_audio,omitempty"`
	// ParametersPublished is the count printed with the weights.
	ParametersPublished int64 `json:"parameters_published,omitempty"`

	StoredBytes   int64            `json:"stored_bytes,omitempty"`
	StoredByDType map[string]int64 `json:"stored_by_dtype,omitempty"`
	DType         string           `json:"dtype,omitempty"`
	Quantization  string           `json:"quantization,omitempty"`

	ContextTokens  int64 `json:"context_tokens,omitempty"`
	VocabularySize int64 `json:"vocabulary_size,omitempty"`
	HiddenSize     int64 `json:"hidden_size,omitempty"`

	Layers    map[string]int `json:"layers"`
	Mixers    []MixerInfo    `json:"mixers"`
	LayerList []LayerInfo    `json:"layer_list,omitempty"`
	Tensors   []TensorInfo   `json:"tensors,omitempty"`

	// Components are parts beside the decoder, or instead of one.
	Components []ComponentInfo `json:"components,omitempty"`
	// Settings are what the place sets for the model, by its own names.
	Settings map[string]string `json:"settings,omitempty"`

	License    string       `json:"license,omitempty"`
	Files      []FileInfo   `json:"files"`
	Provenance []model.Fact `json:"provenance"`

	kinds string
	role  model.Role
}

// MixerInfo is one kind of sequence mixer and what it keeps, in elements of
// the cache's or the state's type.
type MixerInfo struct {
	Kind             string `json:"kind"`
	Layers           int    `json:"layers"`
	Heads            int64  `json:"heads,omitempty"`
	KVHeads          int64  `json:"kv_heads,omitempty"`
	HeadDim          int64  `json:"head_dim,omitempty"`
	WindowTokens     int64  `json:"window_tokens,omitempty"`
	ElementsPerToken int64  `json:"cache_elements_per_token,omitempty"`
	ElementsPerSeq   int64  `json:"state_elements_per_sequence,omitempty"`
}

// LayerInfo is one decoder layer.
type LayerInfo struct {
	Index       int    `json:"index"`
	Mixer       string `json:"mixer"`
	FeedForward string `json:"feed_forward"`
	Parameters  int64  `json:"parameters"`
}

// TensorInfo is a number of equal weights.
type TensorInfo struct {
	Name        string  `json:"name"`
	Group       string  `json:"group"`
	Shape       []int64 `json:"shape"`
	Type        string  `json:"type,omitempty"`
	Count       int     `json:"count"`
	Parameters  int64   `json:"parameters"`
	StoredBytes int64   `json:"stored_bytes,omitempty"`
}

// ComponentInfo is one part of what the reference names: a projector, an
// adapter, a draft model, a network of a pipeline.
type ComponentInfo struct {
	Name          string            `json:"name"`
	Kind          string            `json:"kind"`
	Class         string            `json:"class,omitempty"`
	Parameters    int64             `json:"parameters,omitempty"`
	StoredBytes   int64             `json:"stored_bytes,omitempty"`
	StoredByDType map[string]int64  `json:"stored_by_dtype,omitempty"`
	Chosen        bool              `json:"chosen,omitempty"`
	Details       map[string]string `json:"details,omitempty"`
	Files         []FileInfo        `json:"files,omitempty"`
}

// FileInfo is a file that was read.
type FileInfo struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Role  string `json:"role"`
}

func lookupModel(opts Options) Tool {
	return define(Tool{
		Name: "lookup_model", Title: "Look up a model", Toolset: ModelSet, Effect: Effect{Network: true},
		Description: "Says what a model is: architecture, layers by kind of attention or state, exact parameters (total and active for one token), stored bytes by type, context in tokens, licence, components (projectors, adapters, draft models, the networks of a diffusion pipeline), and where each fact was read. " +
			"Reads local config.json, safetensors and GGUF headers, a config pasted in, the embedded catalogue, or the Hub (headers only, never weights). " +
			"Use it to check a name or to understand a model; for \"does it fit\" call plan_memory directly with the same model.",
	}, func(ctx context.Context, q ModelQuery) (*ModelInfo, error) {
		r, err := q.resolve(ctx, q.Offline || opts.Offline)
		if err != nil {
			return nil, err
		}
		return modelInfo(r, q.Detail), nil
	})
}

func modelInfo(r *lookup.Result, detail string) *ModelInfo {
	m, n := r.Model, r.Model.Count()
	out := &ModelInfo{
		Reference: r.Reference, ResolvedFrom: r.ResolvedFrom, Architecture: m.Architecture, ModelType: m.Type,
		ParametersTotal: n.Total, ParametersActive: n.Active, ParametersMTP: n.MTP, ParametersVision: n.Vision, ParametersAudio: n.Audio,
		ParametersPublished: r.PublishedParams,
		StoredBytes:         r.StoredBytes, StoredByDType: r.StoredByDType, DType: m.DType,
		ContextTokens: m.Context, VocabularySize: m.Vocab, HiddenSize: m.Hidden,
		Layers: layerKinds(m), Mixers: mixers(m),
		License: r.License, Files: make([]FileInfo, len(r.Files)), Provenance: r.Provenance,
		Components: components(r.Components), Settings: r.Settings,
		kinds: kindsText(m), role: m.Role,
	}
	if m.Quant != nil {
		out.Quantization = m.Quant.Method
	}
	for i, f := range r.Files {
		out.Files[i] = FileInfo(f)
	}
	if out.Provenance == nil {
		out.Provenance = []model.Fact{}
	}
	switch detail {
	case "layers":
		out.LayerList = layerList(m)
	case "tensors":
		out.Tensors = tensorList(m)
	}
	return out
}

func components(cs []lookup.Component) []ComponentInfo {
	var out []ComponentInfo
	for i := range cs {
		c := &cs[i]
		x := ComponentInfo{
			Name: lookup.Clean(c.Name, lookup.MaxText), Kind: c.Kind, Class: lookup.Clean(c.Class, lookup.MaxText),
			Parameters: c.Parameters, StoredBytes: c.Bytes, StoredByDType: c.ByDType, Chosen: c.Chosen, Details: c.Details,
		}
		for _, f := range c.Files {
			x.Files = append(x.Files, FileInfo(f))
		}
		out = append(out, x)
	}
	return out
}

// componentsText lists components in one line, at most textComponents of them.
func componentsText(cs []ComponentInfo) string {
	var parts []string
	for i, c := range cs {
		if i == textComponents {
			parts = append(parts, fmt.Sprintf("%d more", len(cs)-i))
			break
		}
		s := c.Kind
		if c.Name != c.Kind {
			s += " " + c.Name
		}
		if c.Parameters > 0 {
			s += " " + count(c.Parameters)
		}
		if c.StoredBytes > 0 {
			s += " (" + engine.Bytes(c.StoredBytes).String() + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// textComponents is the most components that Text lists.
const textComponents = 8

// mixers describes each different mixer of the decoder once.
func mixers(m *model.Model) []MixerInfo {
	out := []MixerInfo{}
	var stores []model.Store
	for i := range m.Layers {
	next:
		for _, x := range m.Layers[i].Mixers {
			info := MixerInfo{Kind: string(x.Kind())}
			stores = x.AppendStores(stores[:0], 1)
			for _, s := range stores {
				if s.Axis == model.PerSequence {
					info.ElementsPerSeq += s.Elems
				} else {
					info.ElementsPerToken += s.Elems / max(1, s.Stride)
					info.WindowTokens = max(info.WindowTokens, s.Window)
				}
			}
			switch x := x.(type) {
			case *model.Attention:
				info.Heads, info.KVHeads, info.HeadDim = x.Heads, x.KVHeads, x.KeyDim
			case *model.MLA:
				info.Heads = x.Heads
			}
			for j := range out {
				same := out[j]
				same.Layers = 0
				if same == info {
					out[j].Layers++
					continue next
				}
			}
			info.Layers = 1
			out = append(out, info)
		}
	}
	return out
}

func layerList(m *model.Model) []LayerInfo {
	params := make([]int64, len(m.Layers))
	for i := range m.Tensors {
		if t := &m.Tensors[i]; t.Group == model.Text && t.Layer >= 0 && t.Layer < len(params) {
			params[t.Layer] += t.Elems()
		}
	}
	out := make([]LayerInfo, len(m.Layers))
	for i := range m.Layers {
		l := &m.Layers[i]
		out[i] = LayerInfo{Index: i, Mixer: string(l.Kind()), FeedForward: feedForward(l.FFN), Parameters: params[i]}
	}
	return out
}

// tensorList counts equal tensors together, in the order in which they first
// appear.
func tensorList(m *model.Model) []TensorInfo {
	type key struct {
		name, typ      string
		group          model.Group
		out, in, count int64
	}
	at := map[key]int{}
	list := []TensorInfo{}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		k := key{t.Name, t.Type, t.Group, t.Out, t.In, t.Count}
		j, ok := at[k]
		if !ok {
			j = len(list)
			at[k] = j
			shape := []int64{t.Out, t.In}
			if t.Count > 1 {
				shape = []int64{t.Count, t.Out, t.In}
			}
			list = append(list, TensorInfo{Name: lookup.Clean(t.Name, lookup.MaxText), Group: t.Group.String(), Shape: shape, Type: t.Type})
		}
		list[j].Count++
		list[j].Parameters += t.Elems()
		list[j].StoredBytes += t.Bytes
	}
	return list
}

// Text says what the model is in a few lines.
func (i *ModelInfo) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, from %s): %s parameters", i.Reference, cmp.Or(i.Architecture, i.ModelType), i.ResolvedFrom, count(i.ParametersTotal))
	if i.ParametersActive < i.ParametersTotal-i.ParametersVision-i.ParametersAudio {
		fmt.Fprintf(&b, ", %s active for one token", count(i.ParametersActive))
	}
	b.WriteString(".\n")
	if i.role != "" {
		fmt.Fprintf(&b, "This is a %s, not a model that runs on its own as a language model does.\n", i.role)
	}
	if i.kinds != "" {
		fmt.Fprintf(&b, "Layers: %s.", i.kinds)
		if i.ContextTokens > 0 {
			fmt.Fprintf(&b, " Context: %s tokens.", number(i.ContextTokens))
		}
		if i.VocabularySize > 0 {
			fmt.Fprintf(&b, " Vocabulary: %s.", number(i.VocabularySize))
		}
		b.WriteString("\n")
	}
	if len(i.Components) > 0 {
		fmt.Fprintf(&b, "Components: %s.\n", componentsText(i.Components))
	}
	if i.StoredBytes > 0 {
		fmt.Fprintf(&b, "Stored: %s", engine.Bytes(i.StoredBytes))
		sep := " as "
		for _, t := range slices.Sorted(maps.Keys(i.StoredByDType)) {
			fmt.Fprintf(&b, "%s%s %s", sep, t, engine.Bytes(i.StoredByDType[t]))
			sep = ", "
		}
		b.WriteString(".\n")
	}
	if i.License != "" {
		fmt.Fprintf(&b, "Licence: %s.\n", i.License)
	}
	if len(i.Provenance) > 0 {
		f := i.Provenance[0]
		fmt.Fprintf(&b, "Known from: %s.\n", f.From)
	}
	switch i.role {
	case model.RoleProjector, model.RoleAdapter, model.RoleDraft:
		b.WriteString("Next: plan_memory with the model that it runs beside.\n")
	default:
		b.WriteString("Next: plan_memory with the same model and the hardware.\n")
	}
	return b.String()
}
