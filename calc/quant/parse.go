package quant

import (
	"strings"

	"hwledger/calc/model"
)

// family is a group of schemes that one file knows.
type family struct {
	// names lists canonical names for completion and near misses.
	names func() []string
	// parse returns the scheme of a lower-case name with dashes, nil when the
	// name is not of the family, or an error when it is but says too little.
	parse func(name string) (Scheme, error)
}

// families are tried in order.
var families = [...]family{
	{plainNames, parsePlain},
	{fp8Names, parseFP8},
	{groupwiseNames, parseGroupwise},
	{bnbNames, parseBNB},
	{microscaleNames, parseMicroscale},
	{mlxNames, parseMLX},
	{exllamaNames, parseExllama},
	{ggufNames, parseGGUF},
}

// Parse returns the weight quantization scheme with the given name, in any
// case and with dashes or underscores: "bf16", "fp8-block", "gptq-4bit-g64",
// "mlx-4bit", "Q4_K_M". The error is *model.Error with near misses as
// candidates.
func Parse(name string) (Scheme, error) {
	s := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
	if len(s) <= 64 {
		for _, f := range families {
			if x, err := f.parse(s); x != nil || err != nil {
				return x, err
			}
		}
	}
	return nil, unknown("weights", "quantization", name, Names())
}

// Names returns the canonical names that Parse accepts, without every
// combination of bits and group.
func Names() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.names()...)
	}
	return names
}

// For returns the scheme that an engine is asked for: the named one, or what
// the checkpoint stores when name is empty or "auto". When the checkpoint is
// already in the named scheme, its headers and its own exceptions hold. A GGUF
// stays one: plain names mean its file types then.
func For(m *model.Model, name string) (Scheme, error) {
	if name == "" || strings.EqualFold(name, "auto") {
		return AsStored(m)
	}
	if m.Format == model.FormatGGUF {
		if s, err := GGUF(name); err == nil {
			return s, nil
		}
	}
	s, err := Parse(name)
	if err != nil || m.Quant == nil {
		return s, err
	}
	if own, err := fromQuantization(m.Quant); err == nil && own.Name() == s.Name() {
		if m.Exact {
			return header{}, nil
		}
		return own, nil
	}
	return s, nil
}

// Served refuses a named scheme that is neither what the checkpoint stores nor
// one of served: those that the engine loads or makes.
func Served(m *model.Model, name, engine string, served []string) error {
	if name == "" || name == "auto" {
		return nil
	}
	want, err := For(m, name)
	if err != nil {
		return err
	}
	if own, err := AsStored(m); err == nil && own.Name() == want.Name() {
		return nil
	}
	for _, n := range served {
		if s, err := Parse(n); err == nil && s.Name() == want.Name() {
			return nil
		}
	}
	e := model.Errorf(model.InvalidArgument, "weights", "%s neither loads nor makes %s weights", engine, want.Name())
	e.Candidates = served
	return e.WithHint("use one of the candidates, or an engine that reads this format")
}

// StoredAs reports whether a scheme is what the model's files store, by any of
// its names.
func StoredAs(m *model.Model, name string) bool {
	return strings.EqualFold(name, "auto") || m.Quant != nil && strings.EqualFold(m.Quant.Method, name) || Served(m, name, "", nil) == nil
}

// ForGGUF is For an engine that reads GGUF only: a checkpoint in another
// format is taken as its conversion, whose unquantized tensors keep its dtype
// and whose MXFP4 experts stay MXFP4.
func ForGGUF(m *model.Model, name string) (Scheme, error) {
	switch {
	case name != "" && !strings.EqualFold(name, "auto"):
		return GGUF(name)
	case m.Format == model.FormatGGUF && m.Exact:
		return header{}, nil
	case m.Quant != nil && m.Quant.Method == "mxfp4":
		return GGUF("MXFP4_MOE")
	}
	return GGUF(baseType(m))
}
