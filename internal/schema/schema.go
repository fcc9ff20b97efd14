// Package schema makes the JSON Schemas of tools from Go types, and checks
// arguments against them with messages that a language model can act on.
//
// It knows the part of JSON Schema 2020-12 that every model provider accepts:
// one type for each node, enums, ranges, objects, arrays and, below the top
// level, anyOf. Fields carry struct tags:
//
//	doc      the property's description
//	enum     allowed values, comma separated
//	default  the value taken when the property is absent, as JSON or bare text
//	min, max bounds of a number
//	alias    other names people use for it, for "did you mean" only
//	brief    "true": write the type only, of an embedded struct's fields too
//	rare     "true": do not write it at all where it is brief
//
// A field is required unless its json tag has omitempty or omitzero.
package schema

import (
	"bytes"
	"encoding/json"
	"sort"
)

// Schema is one node of a JSON Schema.
type Schema struct {
	Type        string
	Description string
	Enum        []string
	Default     json.RawMessage
	Min, Max    *float64
	// Properties of an object in the order of the Go fields.
	Properties []Property
	// Discriminator names the property whose presence makes the other
	// required ones required. It is set at the root of an output schema, so
	// that a tool's error object, which has none of them, is valid as well:
	// widely used clients check structured content even of errors.
	Discriminator string
	// Closed objects take no other properties; Values is the schema of other
	// properties when they are allowed and have one.
	Closed bool
	Values *Schema
	Items  *Schema
	AnyOf  []*Schema
	// Ref names an entry of the root's Defs.
	Ref  string
	Defs map[string]*Schema
}

// Gist is what a list of tools says of a result: that it is an object, and its
// first property when that is a plain value, such as a verdict. The list is in
// the context of every conversation, so that what it spells out has to earn its
// place; checks use the whole schema.
func (s *Schema) Gist() *Schema {
	out := &Schema{Type: "object"}
	if p := s.Properties; len(p) > 0 && p[0].Schema.Type != "" && p[0].Schema.Type != "object" && p[0].Schema.Type != "array" {
		out.Properties = []Property{p[0]}
		out.Properties[0].Required = false // an error has another form
	}
	return out
}

// Property is a named member of an object.
type Property struct {
	Name     string
	Required bool
	Aliases  []string
	Schema   *Schema
	// Brief properties are written with their type only: another tool in the
	// same list describes them. Those that are Rare too are accepted and not
	// written at all.
	Brief, Rare bool

	// Where the Go value is, and when encoding/json leaves it out.
	index               []int
	omitEmpty, omitZero bool
}

// Describer is a type that supplies its own schema. Tags of the field that
// uses it are applied on top.
type Describer interface{ JSONSchema() *Schema }

// Enumerator is a string type whose allowed values are only known at run
// time.
type Enumerator interface{ Enum() []string }

// Property returns the property called name, nil when there is none.
func (s *Schema) Property(name string) *Property {
	for i := range s.Properties {
		if s.Properties[i].Name == name {
			return &s.Properties[i]
		}
	}
	return nil
}

// Names returns the names of an object's properties in order.
func (s *Schema) Names() []string {
	out := make([]string, len(s.Properties))
	for i := range s.Properties {
		out[i] = s.Properties[i].Name
	}
	return out
}

func (s *Schema) required() []string {
	var out []string
	for _, p := range s.Properties {
		if p.Required {
			out = append(out, p.Name)
		}
	}
	return out
}

// MarshalJSON writes the schema with its properties in order.
func (s *Schema) MarshalJSON() ([]byte, error) {
	w := writer{}
	w.schema(s)
	return w.buf.Bytes(), w.err
}

// writer writes JSON objects with keys in the order given.
type writer struct {
	buf bytes.Buffer
	err error
}

func (w *writer) value(v any) {
	b, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.buf.Write(b)
}

func (w *writer) key(first *bool, name string) {
	if !*first {
		w.buf.WriteByte(',')
	}
	*first = false
	w.value(name)
	w.buf.WriteByte(':')
}

func (w *writer) schema(s *Schema) {
	w.buf.WriteByte('{')
	first := true
	put := func(name string, v any) {
		w.key(&first, name)
		w.value(v)
	}
	if s.Ref != "" {
		put("$ref", "#/$defs/"+s.Ref)
	}
	if s.Type != "" {
		put("type", s.Type)
	}
	if s.Description != "" {
		put("description", s.Description)
	}
	if len(s.Enum) > 0 {
		put("enum", s.Enum)
	}
	if s.Min != nil {
		put("minimum", *s.Min)
	}
	if s.Max != nil {
		put("maximum", *s.Max)
	}
	if s.Default != nil {
		put("default", s.Default)
	}
	if s.Items != nil {
		w.key(&first, "items")
		w.schema(s.Items)
	}
	if len(s.AnyOf) > 0 {
		w.key(&first, "anyOf")
		w.list(s.AnyOf, w.schema)
	}
	if s.Type == "object" {
		w.object(s, &first)
	}
	if len(s.Defs) > 0 {
		w.key(&first, "$defs")
		w.defs(s.Defs)
	}
	w.buf.WriteByte('}')
}

func (w *writer) list(all []*Schema, write func(*Schema)) {
	w.buf.WriteByte('[')
	for i, x := range all {
		if i > 0 {
			w.buf.WriteByte(',')
		}
		write(x)
	}
	w.buf.WriteByte(']')
}

// brief writes the type of s only.
func (w *writer) brief(s *Schema) {
	if len(s.AnyOf) > 0 {
		w.buf.WriteString(`{"anyOf":`)
		w.list(s.AnyOf, w.brief)
		w.buf.WriteByte('}')
		return
	}
	w.buf.WriteString(`{"type":`)
	w.value(s.Type)
	if s.Items != nil {
		w.buf.WriteString(`,"items":`)
		w.brief(s.Items)
	}
	if s.Type == "object" {
		w.buf.WriteString(`,"additionalProperties":true`)
	}
	w.buf.WriteByte('}')
}

func (w *writer) object(s *Schema, first *bool) {
	hidden := false
	if len(s.Properties) > 0 || s.Closed {
		w.key(first, "properties")
		w.buf.WriteByte('{')
		none := true
		for _, p := range s.Properties {
			if p.Brief && p.Rare {
				hidden = true
				continue
			}
			w.key(&none, p.Name)
			if p.Brief {
				w.brief(p.Schema)
			} else {
				w.schema(p.Schema)
			}
		}
		w.buf.WriteByte('}')
	}
	if req := s.required(); len(req) > 0 {
		if s.Discriminator == "" {
			w.key(first, "required")
			w.value(req)
		} else {
			w.key(first, "dependentRequired")
			w.value(map[string][]string{s.Discriminator: req})
		}
	}
	switch {
	case s.Closed && hidden: // there are more than are written
	case s.Closed:
		w.key(first, "additionalProperties")
		w.value(false)
	case s.Values != nil:
		w.key(first, "additionalProperties")
		w.schema(s.Values)
	case len(s.Properties) == 0:
		// Any object at all; said aloud, because some clients take an object
		// without properties for an empty one.
		w.key(first, "additionalProperties")
		w.value(true)
	}
}

func (w *writer) defs(defs map[string]*Schema) {
	names := make([]string, 0, len(defs))
	for name := range defs {
		names = append(names, name)
	}
	sort.Strings(names)
	w.buf.WriteByte('{')
	none := true
	for _, name := range names {
		w.key(&none, name)
		w.schema(defs[name])
	}
	w.buf.WriteByte('}')
}
