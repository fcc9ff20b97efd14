package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/near"
)

// Violation is one thing wrong with an argument, in words for whoever sent
// it.
type Violation struct {
	// Field is the argument's path ("hardware.count"), empty for the whole.
	Field   string
	Message string
	Hint    string
	// Candidates are values or names that would have been accepted.
	Candidates []string
}

// Error returns the message.
func (v *Violation) Error() string { return v.Message }

// Clean checks raw against s and returns it ready for decoding into the Go
// type that s was made from: optional arguments that are null are dropped,
// and integers written as 4096.0 or 1e3 are written plainly. All that is
// wrong is returned, in the order of the arguments; subject names the tool in
// the messages.
func (s *Schema) Clean(subject string, raw []byte) (json.RawMessage, []*Violation) {
	if len(bytes.TrimSpace(raw)) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		raw = []byte("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = fmt.Errorf("text after the object")
		}
	}
	if err != nil {
		return nil, []*Violation{{Message: "the arguments are not valid JSON: " + err.Error(), Hint: "send one JSON object"}}
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, []*Violation{{Message: fmt.Sprintf("the arguments of %s are %s, not an object", subject, describe(v)), Hint: "send a JSON object with the arguments by name"}}
	}
	c := checker{subject: subject, root: s}
	v = c.check(s, "", v)
	if len(c.found) > 0 {
		return nil, c.found
	}
	if !c.changed {
		return raw, nil
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, []*Violation{{Message: "the arguments cannot be encoded: " + err.Error()}}
	}
	return out, nil
}

type checker struct {
	subject string
	root    *Schema
	found   []*Violation
	changed bool
}

func (c *checker) add(field, hint string, candidates []string, format string, args ...any) {
	c.found = append(c.found, &Violation{Field: field, Message: fmt.Sprintf(format, args...), Hint: hint, Candidates: candidates})
}

// check validates v against s and returns it, normalised.
func (c *checker) check(s *Schema, path string, v any) any {
	if s.Ref != "" {
		s = c.root.Defs[s.Ref]
	}
	if len(s.AnyOf) > 0 {
		return c.anyOf(s, path, v)
	}
	switch s.Type {
	case "object":
		return c.object(s, path, v)
	case "array":
		return c.array(s, path, v)
	case "string":
		c.text(s, path, v)
	case "boolean":
		if _, ok := v.(bool); !ok {
			hint := "write true or false, without quotes"
			c.add(path, hint, nil, "%s must be true or false, not %s", path, describe(v))
		}
	case "integer", "number":
		return c.number(s, path, v)
	}
	return v
}

func (c *checker) object(s *Schema, path string, v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		c.add(path, "", nil, "%s must be an object, not %s", path, describe(v))
		return v
	}
	for i := range s.Properties {
		p := &s.Properties[i]
		x, given := m[p.Name]
		if given && x == nil && !p.Required {
			delete(m, p.Name)
			c.changed, given = true, false
		}
		switch {
		case given:
			m[p.Name] = c.check(p.Schema, join(path, p.Name), x)
		case p.Required:
			c.add(join(path, p.Name), describeProperty(p), nil, "%s needs %s", c.named(path), p.Name)
		}
	}
	c.others(s, path, m)
	return m
}

// others checks the members of m that s has no property for.
func (c *checker) others(s *Schema, path string, m map[string]any) {
	if !s.Closed && s.Values == nil {
		return
	}
	var names []string
	for name := range m {
		if s.Property(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if s.Values != nil {
			m[name] = c.check(s.Values, join(path, name), m[name])
			continue
		}
		similar := s.Suggest(name)
		hint := "leave it out; the arguments are " + strings.Join(s.Names(), ", ")
		if len(similar) > 0 {
			hint = "did you mean " + strings.Join(similar, " or ") + "?"
		}
		c.add(join(path, name), hint, similar, "%s has no argument %q", c.named(path), clip(name))
	}
}

// Suggest returns the properties that name may have been meant for: those it
// is an alias of, else those it looks like.
func (s *Schema) Suggest(name string) []string {
	var out []string
	for i := range s.Properties {
		for _, a := range s.Properties[i].Aliases {
			if near.Squash(a) == near.Squash(name) {
				out = append(out, s.Properties[i].Name)
			}
		}
	}
	if len(out) == 0 {
		out = near.Names(name, s.Names(), 3)
	}
	return out
}

func (c *checker) array(s *Schema, path string, v any) any {
	a, ok := v.([]any)
	if !ok {
		c.add(path, "write it as a JSON array", nil, "%s must be an array, not %s", path, describe(v))
		return v
	}
	for i := range a {
		a[i] = c.check(s.Items, path+"["+strconv.Itoa(i)+"]", a[i])
	}
	return a
}

func (c *checker) text(s *Schema, path string, v any) {
	x, ok := v.(string)
	if !ok {
		c.add(path, "write it as a JSON string", s.Enum, "%s must be a string, not %s", path, describe(v))
		return
	}
	if len(s.Enum) == 0 || slices.Contains(s.Enum, x) {
		return
	}
	hint := "use one of: " + strings.Join(s.Enum, ", ")
	candidates := s.Enum
	if similar := near.Names(x, s.Enum, 3); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "? Allowed: " + strings.Join(s.Enum, ", ")
		candidates = similar
	}
	c.add(path, hint, candidates, "%s cannot be %q", path, clip(x))
}

func (c *checker) number(s *Schema, path string, v any) any {
	n, ok := v.(json.Number)
	if !ok {
		hint := ""
		if x, isText := v.(string); isText {
			if _, err := strconv.ParseFloat(x, 64); err == nil {
				hint = "write " + x + " without quotes"
			}
		}
		c.add(path, hint, nil, "%s must be %s, not %s", path, article(s.Type), describe(v))
		return v
	}
	f, err := n.Float64()
	if err != nil {
		c.add(path, "", nil, "%s: %s is out of range", path, clip(n.String()))
		return v
	}
	if s.Type == "integer" {
		whole, ok := c.integer(path, n, f)
		if !ok {
			return v
		}
		v = whole
	}
	if s.Min != nil && f < *s.Min || s.Max != nil && f > *s.Max {
		c.add(path, "", nil, "%s is %s; it must be %s", path, clip(n.String()), span(s))
	}
	return v
}

// integer returns n in plain decimal.
func (c *checker) integer(path string, n json.Number, f float64) (json.Number, bool) {
	if _, err := n.Int64(); err == nil {
		return n, true
	}
	if f >= 1<<63 || f < -1<<63 || f != float64(int64(f)) {
		c.add(path, "", nil, "%s must be a whole number, not %s", path, clip(n.String()))
		return n, false
	}
	c.changed = true
	return json.Number(strconv.FormatInt(int64(f), 10)), true
}

// anyOf takes the branch of v's own type, so that its messages are the ones
// reported.
func (c *checker) anyOf(s *Schema, path string, v any) any {
	var types []string
	for _, b := range s.AnyOf {
		if b.Type == typeOf(v) || b.Type == "integer" && typeOf(v) == "number" {
			return c.check(b, path, v)
		}
		types = append(types, article(b.Type))
	}
	c.add(path, s.Description, nil, "%s must be %s, not %s", path, strings.Join(types, " or "), describe(v))
	return v
}

func (c *checker) named(path string) string {
	if path == "" {
		return c.subject
	}
	return path
}

func describeProperty(p *Property) string {
	if p.Schema.Description == "" {
		return "give it as " + article(p.Schema.Type)
	}
	return p.Name + ": " + p.Schema.Description
}

func span(s *Schema) string {
	num := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case s.Max == nil:
		return "at least " + num(*s.Min)
	case s.Min == nil:
		return "at most " + num(*s.Max)
	}
	return "between " + num(*s.Min) + " and " + num(*s.Max)
}

func article(t string) string {
	switch t {
	case "integer", "object", "array":
		return "an " + t
	}
	return "a " + t
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number, float64:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// describe names a value as given: its type, and itself when it is short.
func describe(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(x)
	case string:
		return fmt.Sprintf("the string %q", clip(x))
	case json.Number:
		return clip(x.String())
	}
	return article(typeOf(v))
}

// clip shortens what a caller sent before it is sent back.
func clip(s string) string {
	const most = 80
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
