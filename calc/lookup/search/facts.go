package search

import (
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/lookup"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/safetensors"
)

// Facts are what is known about a model. Zero values are unknown.
type Facts struct {
	ParametersTotal, ParametersActive int64
	// ModelType and Architecture are config.json's model_type and first
	// class, or GGUF's architecture.
	ModelType, Architecture string
	// Layers counts decoder layers by the kind of their mixer, and Traits are
	// what the layers amount to: moe, mla, hybrid …
	Layers map[string]int
	Traits []string
	// Modality is what goes in or comes out: text, vision, audio, embedding.
	Modality      []string
	ContextTokens int64
	License       string
	// Quantization is the method or the GGUF type, or the dtype of weights
	// that are not quantized.
	Quantization string
	StoredBytes  int64
}

// recurrent are the mixers that keep a state instead of a cache.
var recurrent = []model.Kind{
	model.KindMamba1, model.KindMamba2, model.KindGatedDelta, model.KindKDA, model.KindLightning,
	model.KindShortConv, model.KindRWKV, model.KindRGLRU, model.KindGatedMemory,
}

// fromModel takes what a description says, and keeps what it does not say.
func (f *Facts) fromModel(r *lookup.Result) {
	m := r.Model
	n := m.Count()
	kinds, traits := layers(m)
	f.overlay(&Facts{
		ParametersTotal: n.Total, ParametersActive: n.Active, ModelType: m.Type, Architecture: m.Architecture,
		Layers: kinds, Traits: traits, Modality: modality(m, n),
		ContextTokens: m.Context, License: r.License, Quantization: quantization(r), StoredBytes: r.StoredBytes,
	})
}

// overlay takes what x knows. Lists are shared: do not change them.
func (f *Facts) overlay(x *Facts) {
	f.ParametersTotal, f.ParametersActive = x.ParametersTotal, x.ParametersActive
	f.ModelType, f.Architecture = x.ModelType, x.Architecture
	f.Layers, f.Traits, f.Modality = x.Layers, x.Traits, x.Modality
	set(&f.ContextTokens, x.ContextTokens)
	set(&f.License, x.License)
	set(&f.Quantization, x.Quantization)
	set(&f.StoredBytes, x.StoredBytes)
}

// set overwrites a fact with one that is known.
func set[T comparable](fact *T, v T) {
	var unknown T
	if v != unknown {
		*fact = v
	}
}

// layers counts the decoder's layers by kind and names what they amount to.
func layers(m *model.Model) (map[string]int, []string) {
	kinds := map[string]int{}
	traits := map[string]bool{}
	attends, recurs := false, false
	for i := range m.Layers {
		l := &m.Layers[i]
		kinds[string(l.Kind())]++
		if l.FFN.MoE() {
			traits["moe"] = true
		}
		for _, x := range l.Mixers {
			k := x.Kind()
			traits[string(k)] = true
			switch {
			case k == model.KindNone:
			case slices.Contains(recurrent, k):
				recurs = true
			default:
				attends = true
			}
		}
	}
	traits["dense"] = !traits["moe"]
	traits["hybrid"] = attends && recurs
	traits["recurrent"] = recurs
	traits["mamba"] = traits[string(model.KindMamba1)] || traits[string(model.KindMamba2)]
	traits["linear"] = traits[string(model.KindGatedDelta)] || traits[string(model.KindKDA)] || traits[string(model.KindLightning)]
	traits["encoder-decoder"] = m.EncDec
	traits["encoder"] = !m.Causal
	var out []string
	for t, has := range traits {
		if has {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return kinds, out
}

// modality says what the model takes. Whisper's description has no tower: its
// encoder is the audio's.
func modality(m *model.Model, n model.Params) []string {
	if !m.Causal && !m.EncDec {
		return []string{"embedding", "text"}
	}
	var out []string
	if n.Audio > 0 || m.Type == "whisper" {
		out = append(out, "audio")
	}
	out = append(out, "text")
	if n.Vision > 0 {
		out = append(out, "vision")
	}
	return out
}

// quantization names how the weights are stored.
func quantization(r *lookup.Result) string {
	m := r.Model
	if m.Format == model.FormatGGUF {
		return mostly(r.StoredByDType)
	}
	if q := m.Quant; q != nil {
		if q.Method == "mlx" && q.Bits > 0 {
			return "mlx-" + strconv.FormatInt(q.Bits, 10) + "bit"
		}
		return q.Method
	}
	return m.DType
}

// mostly returns the type that takes the most, the first by name of equals.
func mostly(byType map[string]int64) string {
	best, most := "", int64(0)
	for t, n := range byType {
		if n > most || n == most && t < best {
			best, most = t, n
		}
	}
	return best
}

// fromEntry takes what a catalogue entry says without its configuration.
func (f *Facts) fromEntry(e *catalog.Entry) {
	set(&f.ParametersTotal, e.Params)
	set(&f.ContextTokens, e.Context)
	set(&f.License, e.License)
	set(&f.StoredBytes, e.Bytes)
}

// fromHub takes what the Hub's list says, where nothing is known yet.
func (f *Facts) fromHub(h *lookup.HubModel) {
	total, bytes := elements(h)
	fill(&f.ParametersTotal, max(total, h.GGUFParams))
	fill(&f.StoredBytes, bytes)
	fill(&f.ContextTokens, h.Context)
	fill(&f.License, h.License)
	fill(&f.ModelType, h.ModelType)
	fill(&f.Architecture, h.Architecture)
	fill(&f.Quantization, hubQuantization(h))
	if len(f.Modality) == 0 {
		f.Modality = tasks[h.Task]
	}
}

func fill[T comparable](fact *T, v T) {
	var unknown T
	if *fact == unknown {
		*fact = v
	}
}

// elements returns the parameters and bytes of a repository's safetensors
// files. Types that pack several parameters into one element leave the first
// unknown, types of unknown width the second.
func elements(h *lookup.HubModel) (params, bytes int64) {
	packed, odd := h.Quant != "" || h.MLX, false
	for typ, n := range h.Elements {
		width, ok := safetensors.Bits(typ)
		odd = odd || !ok
		packed = packed || !ok || strings.HasPrefix(typ, "U") || strings.HasPrefix(typ, "I")
		params += n
		bytes += n * int64(width) / 8
	}
	if packed {
		params = 0
	}
	if odd {
		bytes = 0
	}
	return params, bytes
}

func hubQuantization(h *lookup.HubModel) string {
	switch {
	case h.MLX && h.Bits > 0:
		return "mlx-" + strconv.FormatInt(h.Bits, 10) + "bit"
	case h.MLX:
		return "mlx"
	case h.Quant != "":
		return strings.ToLower(h.Quant)
	case h.GGUF:
		return "gguf"
	}
	return strings.ToLower(mostly(h.Elements))
}

// tasks are the modalities of the Hub's pipeline tags.
var tasks = map[string][]string{
	"text-generation":              {"text"},
	"text2text-generation":         {"text"},
	"summarization":                {"text"},
	"translation":                  {"text"},
	"fill-mask":                    {"text"},
	"text-classification":          {"text"},
	"image-text-to-text":           {"text", "vision"},
	"image-to-text":                {"text", "vision"},
	"visual-question-answering":    {"text", "vision"},
	"document-question-answering":  {"text", "vision"},
	"video-text-to-text":           {"text", "video", "vision"},
	"any-to-any":                   {"audio", "text", "vision"},
	"audio-text-to-text":           {"audio", "text"},
	"automatic-speech-recognition": {"audio", "text"},
	"text-to-speech":               {"audio", "text"},
	"text-to-audio":                {"audio", "text"},
	"audio-to-audio":               {"audio"},
	"text-to-image":                {"image-generation", "text"},
	"image-to-image":               {"image-generation", "vision"},
	"text-to-video":                {"text", "video-generation"},
	"image-to-video":               {"video-generation", "vision"},
	"image-classification":         {"vision"},
	"object-detection":             {"vision"},
	"image-segmentation":           {"vision"},
	"feature-extraction":           {"embedding", "text"},
	"sentence-similarity":          {"embedding", "text"},
	"text-ranking":                 {"embedding", "text"},
	"image-feature-extraction":     {"embedding", "vision"},
}
