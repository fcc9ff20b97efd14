package search

import (
	"slices"
	"strings"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/calc/near"
)

// Filter is what models must be. Zero values ask nothing.
type Filter struct {
	// MinParameters and MaxParameters bound all parameters, not the active
	// ones.
	MinParameters, MaxParameters int64
	// License is an id; case and punctuation do not count.
	License string
	// Architecture is a trait of the layers (see Traits), or a family: the
	// beginning of model_type or of the architecture's class, up to the end
	// of a word.
	Architecture string
	// Modality is one of Modalities.
	Modality string
	// Quantization is a method, a GGUF type, "gguf", or a dtype; the
	// beginning of one is enough.
	Quantization string
	// Source is one of Sources.
	Source string
}

// Traits are the architectures that mean a property of layers and no family.
var Traits = []string{
	"moe", "dense", "hybrid", "mamba", "recurrent", "linear", "encoder", "encoder-decoder",
	string(model.KindFull), string(model.KindSliding), string(model.KindChunked), string(model.KindMLA), string(model.KindCompressed), string(model.KindCross),
	string(model.KindMamba1), string(model.KindMamba2), string(model.KindGatedDelta), string(model.KindKDA), string(model.KindLightning),
	string(model.KindShortConv), string(model.KindRWKV), string(model.KindRGLRU), string(model.KindGatedMemory),
}

// Modalities are what a model takes or gives.
var Modalities = []string{"text", "vision", "audio", "video", "embedding", "image-generation", "video-generation"}

// Sources returns the places that can be searched; "local" means all of this
// machine's.
func Sources() []string {
	return append([]string{"catalog", "hub", "local"}, lookup.Places()...)
}

// maxText bounds each text of a query.
const maxText = 200

// check refuses values that could never match.
func (f *Filter) check() error {
	if f.MinParameters < 0 || f.MaxParameters < 0 || f.MaxParameters > 0 && f.MinParameters > f.MaxParameters {
		return model.Errorf(model.InvalidArgument, "filters.min_parameters", "%d to %d is no range of parameters", f.MinParameters, f.MaxParameters).
			WithHint("give min_parameters at most max_parameters, both as counts: 8000000000")
	}
	for name, v := range map[string]string{"license": f.License, "architecture": f.Architecture, "quantization": f.Quantization} {
		if len(v) > maxText || v != "" && near.Squash(v) == "" {
			return model.Errorf(model.InvalidArgument, "filters."+name, "%q has no letters or digits, or is longer than %d characters", lookup.Clean(v, 40), maxText).
				WithHint("give an id or a name, or leave the filter out")
		}
	}
	if f.Modality != "" && !slices.Contains(Modalities, f.Modality) {
		return oneOf("filters.modality", f.Modality, Modalities)
	}
	if all := Sources(); f.Source != "" && !slices.Contains(all, f.Source) {
		return oneOf("filters.source", f.Source, all)
	}
	return nil
}

func oneOf(field, value string, all []string) error {
	e := model.Errorf(model.InvalidArgument, field, "there is no %q", lookup.Clean(value, 40))
	e.Candidates = slices.Clone(all)
	return e.WithHint("use one of: %s", strings.Join(all, ", "))
}

// answer is what facts say about a filter.
type answer int

const (
	no answer = iota
	unclear
	yes
)

// match compares facts with the filter: no when one fact is against it,
// unclear when none is and one is not known.
func (f *Filter) match(x *Facts, reference string) answer {
	out := yes
	for _, a := range [...]answer{f.size(x), f.license(x), f.architecture(x), f.modality(x), f.quantized(x, reference)} {
		out = min(out, a)
	}
	return out
}

func (f *Filter) size(x *Facts) answer {
	switch n := x.ParametersTotal; {
	case f.MinParameters == 0 && f.MaxParameters == 0:
		return yes
	case n == 0:
		return unclear
	case n < f.MinParameters || f.MaxParameters > 0 && n > f.MaxParameters:
		return no
	}
	return yes
}

func (f *Filter) license(x *Facts) answer {
	switch {
	case f.License == "":
		return yes
	case x.License == "":
		return unclear
	case near.Squash(f.License) == near.Squash(x.License):
		return yes
	}
	return no
}

func (f *Filter) architecture(x *Facts) answer {
	want := strings.ToLower(f.Architecture)
	switch {
	case want == "":
		return yes
	case f.trait() != "":
		if x.Layers == nil {
			return unclear
		}
		if slices.Contains(x.Traits, f.trait()) {
			return yes
		}
		return no
	case x.ModelType == "" && x.Architecture == "":
		return unclear
	case family(strings.ToLower(x.ModelType), want), family(typeOf(x.Architecture), want), strings.EqualFold(x.Architecture, want):
		return yes
	}
	return no
}

// trait returns the trait that the architecture names, "" for a family.
func (f *Filter) trait() string {
	want := near.Squash(f.Architecture)
	for _, t := range Traits {
		if near.Squash(t) == want {
			return t
		}
	}
	return ""
}

// family reports whether name begins with want and goes on with another word.
func family(name, want string) bool {
	rest, ok := strings.CutPrefix(name, want)
	return ok && (rest == "" || rest[0] == '_' || rest[0] == '-' || rest[0] == '.')
}

// typeOf writes a class's name in the form of a model_type, without its head:
// Qwen3MoeForCausalLM becomes qwen3_moe.
func typeOf(class string) string {
	class, _, _ = strings.Cut(class, "For")
	var b strings.Builder
	for i, r := range class {
		if r >= 'A' && r <= 'Z' && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func (f *Filter) modality(x *Facts) answer {
	switch {
	case f.Modality == "":
		return yes
	case len(x.Modality) == 0:
		return unclear
	case slices.Contains(x.Modality, f.Modality):
		return yes
	}
	return no
}

// dtypes are the short names of types that are not quantizations.
var dtypes = map[string]string{"bf16": "bfloat16", "fp16": "float16", "f16": "float16", "fp32": "float32", "f32": "float32"}

func (f *Filter) quantized(x *Facts, reference string) answer {
	want, have := near.Squash(f.Quantization), near.Squash(x.Quantization)
	gguf := strings.Contains(strings.ToLower(reference), ".gguf") || have == "gguf" || ggufType(have)
	switch {
	case want == "":
		return yes
	case have == "":
		return unclear
	case strings.HasPrefix(have, want), long(have) == long(want), want == "gguf" && gguf:
		return yes
	case ggufType(want) && gguf && nameHas(reference, f.Quantization):
		return yes
	}
	return no
}

func long(dtype string) string {
	if l, ok := dtypes[dtype]; ok {
		return l
	}
	return dtype
}

// ggufType reports whether a squashed name is one of a GGUF quantization:
// q4km, iq3xs, tq10.
func ggufType(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "i"), "t")
	return len(s) >= 2 && s[0] == 'q' && s[1] >= '1' && s[1] <= '8'
}

// nameHas reports whether a file's or a tag's name carries the quantization
// as a word.
func nameHas(name, quant string) bool {
	for _, w := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-.:/@", r) }) {
		if near.Squash(w) == near.Squash(quant) {
			return true
		}
	}
	return false
}
