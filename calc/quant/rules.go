package quant

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// rules are a checkpoint's own exceptions to its scheme.
type rules struct {
	// layer holds the patterns that name one layer, rest the others.
	layer map[int][]pattern
	rest  []pattern
	// overrides are parameters by module path.
	overrides map[string]model.Override
	// mlx: modules have MLX's names.
	mlx bool
}

// pattern is one exclusion: a regular expression ("re:.*self_attn.*"), a shell
// pattern ("model.layers.0*") or a module path or a piece of one ("lm_head",
// "mlp.gate").
type pattern struct {
	text  string // trimmed of the model's prefix
	glob  bool
	re    *regexp.Regexp
	negat bool
	// must are texts that are in every match of re, so that most paths need no
	// regular expression at all.
	must []string
	// anywhere: re begins with ".*" and does not ask where a text begins, so
	// that what it matches it also matches with more before it.
	anywhere bool
}

// maxPattern bounds a regular expression from a configuration.
const maxPattern = 4096

// newRules compiles the exceptions of q. It returns *model.Error naming a
// regular expression that it cannot read.
func newRules(q *model.Quantization) (*rules, error) {
	if q == nil || len(q.Exclude) == 0 && len(q.Overrides) == 0 {
		return nil, nil
	}
	r := &rules{layer: map[int][]pattern{}, mlx: strings.HasPrefix(q.Method, "mlx")}
	for _, e := range q.Exclude {
		p, err := newPattern(e)
		if err != nil {
			return nil, err
		}
		if n, ok := layerOf(p); ok {
			r.layer[n] = append(r.layer[n], p)
			continue
		}
		r.rest = append(r.rest, p)
	}
	if len(q.Overrides) > 0 {
		r.overrides = make(map[string]model.Override, len(q.Overrides))
		for path, o := range q.Overrides {
			r.overrides[trimModel(path)] = o
		}
	}
	return r, nil
}

func newPattern(text string) (pattern, error) {
	expr, ok := strings.CutPrefix(text, "re:")
	if !ok {
		t := trimModel(text)
		return pattern{text: t, glob: strings.ContainsAny(t, "*?")}, nil
	}
	p := pattern{text: expr}
	// The one lookahead in use says "anything without": (?!.*X).*
	if inner, ok := strings.CutPrefix(strings.TrimPrefix(expr, "^"), "(?!.*"); ok {
		if i := strings.LastIndex(inner, ")"); i >= 0 && strings.Trim(inner[i+1:], ".*$") == "" {
			p.negat, expr = true, ".*"+inner[:i]
		}
	}
	re, err := regexp.Compile("^(?:" + expr + ")")
	if err != nil || len(expr) > maxPattern {
		return p, &model.Error{
			Code: model.UnsupportedArchitecture, Field: "quantization_config.ignore", Err: err,
			Message: "cannot read the exclusion " + strconv.Quote(clip(text)),
			Hint:    "give the tensor headers beside the configuration, they say what is quantized",
		}
	}
	p.re = re
	p.must, p.anywhere = required(expr)
	return p, nil
}

// required returns texts that every match of a regular expression contains,
// and whether what it matches it also matches with more before it.
func required(expr string) (must []string, anywhere bool) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	if tree.Op == syntax.OpConcat {
		first := tree.Sub[0]
		anywhere = first.Op == syntax.OpStar && first.Sub[0].Op == syntax.OpAnyCharNotNL && !asksWhere(tree)
	}
	parts := []*syntax.Regexp{tree}
	for len(parts) > 0 {
		t := parts[0]
		parts = parts[1:]
		switch t.Op {
		case syntax.OpConcat, syntax.OpCapture:
			parts = append(parts, t.Sub...)
		case syntax.OpLiteral:
			if t.Flags&syntax.FoldCase == 0 {
				must = append(must, string(t.Rune))
			}
		}
	}
	return must, anywhere
}

// asksWhere reports whether a regular expression depends on what is before a
// match.
func asksWhere(t *syntax.Regexp) bool {
	switch t.Op {
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(t.Sub, asksWhere)
}

// layerOf returns the layer that a pattern without wildcards before it names.
func layerOf(p pattern) (int, bool) {
	if p.re != nil {
		return 0, false
	}
	rest, ok := strings.CutPrefix(p.text, "layers.")
	if !ok {
		return 0, false
	}
	num, _, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(num)
	return n, err == nil
}

// excludes reports whether the checkpoint keeps t in a plain type.
func (r *rules) excludes(m *model.Model, t *model.Tensor) bool {
	if r == nil || len(r.rest) == 0 && len(r.layer[t.Layer]) == 0 {
		return false
	}
	var buf [16]string
	for _, path := range appendModules(buf[:0], m, t, r.mlx) {
		for _, ps := range [...][]pattern{r.layer[t.Layer], r.rest} {
			for i := range ps {
				if ps[i].match(path) {
					return true
				}
			}
		}
	}
	return false
}

// override returns how the checkpoint stores t's module itself.
func (r *rules) override(m *model.Model, t *model.Tensor) (o model.Override, ok bool) {
	if r == nil || len(r.overrides) == 0 {
		return o, false
	}
	var buf [16]string
	for _, path := range appendModules(buf[:0], m, t, r.mlx) {
		if o, ok = r.overrides[path[bare:]]; ok {
			return o, true
		}
	}
	return o, false
}

// match reports whether the pattern is of the module with the longest path.
func (p *pattern) match(full string) bool {
	path := full[bare:]
	switch {
	case p.re != nil:
		hit := containsAll(full, p.must) &&
			(p.re.MatchString(full) || !p.anywhere && (p.re.MatchString(full[plainly:]) || p.re.MatchString(path)))
		return hit != p.negat
	case p.glob:
		return glob(p.text, path) || glob(p.text+".*", path)
	}
	return within(p.text, path)
}

func containsAll(s string, texts []string) bool {
	for _, t := range texts {
		if !strings.Contains(s, t) {
			return false
		}
	}
	return true
}

// within reports whether piece is a run of whole segments of path.
func within(piece, path string) bool {
	for from := 0; ; {
		i := strings.Index(path[from:], piece)
		if i < 0 || piece == "" {
			return false
		}
		start, end := from+i, from+i+len(piece)
		if (start == 0 || path[start-1] == '.') && (end == len(path) || path[end] == '.') {
			return true
		}
		from = start + 1
	}
}

// glob matches s against a shell pattern of * and ?, in time linear in both
// for one star and quadratic at worst.
func glob(p, s string) bool {
	star, mark, i, j := -1, 0, 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i, j = i+1, j+1
		case i < len(p) && p[i] == '*':
			star, mark, i = i, j, i+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
