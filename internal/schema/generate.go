package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Input returns the schema of a tool's arguments: a closed object, as are those
// in it that have properties. It panics
// when T is not a struct (or a pointer to one) or has a field that has no JSON form, which is a
// mistake in the program, found when the tool is registered.
func Input[T any]() *Schema {
	s := generate(reflect.TypeFor[T]())
	s.shut()
	for _, d := range s.Defs {
		d.shut()
	}
	return s
}

// shut closes an object and those below it.
func (s *Schema) shut() {
	s.Closed = s.Closed || len(s.Properties) > 0
	for i := range s.Properties {
		s.Properties[i].Schema.shut()
	}
	if s.Items != nil {
		s.Items.shut()
	}
}

// Output returns the schema of a tool's result: an object whose properties
// are required once the first one is there, see Schema.Discriminator.
func Output[T any]() *Schema {
	s := generate(reflect.TypeFor[T]())
	if req := s.required(); len(req) > 0 {
		s.Discriminator = req[0]
	}
	return s
}

func generate(t reflect.Type) *Schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	g := generator{uses: map[reflect.Type]int{}, defs: map[string]*Schema{}}
	g.count(t)
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("schema: %s is not a struct", t))
	}
	s := g.object(t)
	s.Defs = g.defs
	return s
}

// generator makes the schema of one root type. Struct types that it uses more
// than once become definitions.
type generator struct {
	uses map[reflect.Type]int
	defs map[string]*Schema
}

var (
	describer  = reflect.TypeFor[Describer]()
	enumerator = reflect.TypeFor[Enumerator]()
	rawMessage = reflect.TypeFor[json.RawMessage]()
)

// count counts how often a struct type is used, and stops at recursion.
func (g *generator) count(t reflect.Type) {
	if t.Kind() != reflect.Pointer && t.Implements(describer) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		g.count(t.Elem())
	case reflect.Struct:
		g.uses[t]++
		if g.uses[t] > 1 {
			return
		}
		for i := range t.NumField() {
			if t.Field(i).IsExported() || t.Field(i).Anonymous {
				g.count(t.Field(i).Type)
			}
		}
	}
}

func (g *generator) typ(t reflect.Type) *Schema {
	if t.Kind() != reflect.Pointer && t.Implements(describer) {
		return reflect.Zero(t).Interface().(Describer).JSONSchema()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.typ(t.Elem())
	case reflect.String:
		s := &Schema{Type: "string"}
		if t.Implements(enumerator) {
			s.Enum = reflect.Zero(t).Interface().(Enumerator).Enum()
		}
		return s
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return &Schema{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.Slice, reflect.Array:
		if t == rawMessage {
			return &Schema{Type: "object"}
		}
		return &Schema{Type: "array", Items: g.typ(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return &Schema{Type: "object"}
		}
		return &Schema{Type: "object", Values: g.typ(t.Elem())}
	case reflect.Struct:
		return g.structure(t)
	}
	panic(fmt.Sprintf("schema: %s has no JSON Schema", t))
}

// structure returns t's schema, or a reference to it when it is used again.
func (g *generator) structure(t reflect.Type) *Schema {
	if g.uses[t] < 2 {
		return g.object(t)
	}
	name := t.Name()
	if _, ok := g.defs[name]; !ok {
		g.defs[name] = nil // ends recursion
		g.defs[name] = g.object(t)
	}
	return &Schema{Ref: name}
}

func (g *generator) object(t reflect.Type) *Schema {
	s := &Schema{Type: "object"}
	g.fields(t, s, nil)
	return s
}

// fields appends the fields of t, found at the index path at of the object's
// type, with those of embedded structs in their place.
func (g *generator) fields(t reflect.Type, s *Schema, at []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		index := append(slices.Clip(at), i)
		brief := f.Tag.Get("brief") == "true"
		if f.Anonymous && name == "" {
			from := len(s.Properties)
			g.fields(f.Type, s, index)
			for j := from; j < len(s.Properties); j++ {
				s.Properties[j].Brief = s.Properties[j].Brief || brief
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("schema: %s.%s has no json name", t, f.Name))
		}
		p := g.typ(f.Type)
		annotate(p, f)
		s.Properties = append(s.Properties, Property{
			Name:     name,
			Required: !strings.Contains(opts, "omit"),
			Aliases:  split(f.Tag.Get("alias")),
			Schema:   p,
			Brief:    brief,
			Rare:     f.Tag.Get("rare") == "true",

			index:     index,
			omitEmpty: strings.Contains(opts, "omitempty"),
			omitZero:  strings.Contains(opts, "omitzero"),
		})
	}
}

// annotate applies a field's tags.
func annotate(s *Schema, f reflect.StructField) {
	if v, ok := f.Tag.Lookup("doc"); ok {
		s.Description = v
	}
	if v, ok := f.Tag.Lookup("enum"); ok {
		s.Enum = split(v)
	}
	if v, ok := f.Tag.Lookup("default"); ok {
		s.Default = literal(v)
	}
	s.Min = bound(f, "min", s.Min)
	s.Max = bound(f, "max", s.Max)
}

func bound(f reflect.StructField, tag string, def *float64) *float64 {
	v, ok := f.Tag.Lookup(tag)
	if !ok {
		return def
	}
	x, err := strconv.ParseFloat(v, 64)
	if err != nil {
		panic(fmt.Sprintf("schema: %s: tag %s: %v", f.Name, tag, err))
	}
	return &x
}

// literal returns v as JSON: itself when it is, else as a string.
func literal(v string) json.RawMessage {
	if json.Valid([]byte(v)) {
		return json.RawMessage(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("schema: default %q: %v", v, err))
	}
	return b
}

func split(v string) []string {
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}
