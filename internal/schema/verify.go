package schema

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Verify checks a value of the Go type that s was made from before it is
// sent. The types are right by construction; what remains is what JSON
// Schema sees and Go does not: required values that are nil, strings outside
// their enum, numbers without a JSON form.
func (s *Schema) Verify(v any) error { return s.verify(s, "", reflect.ValueOf(v)) }

func (s *Schema) verify(at *Schema, path string, v reflect.Value) error {
	if at.Ref != "" {
		at = s.Defs[at.Ref]
	}
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return fmt.Errorf("%s is null", path)
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		return s.fields(at, path, v)
	case reflect.Slice:
		if v.IsNil() {
			return fmt.Errorf("%s is null", path)
		}
		if at.Items == nil { // raw JSON
			return nil
		}
		for i := range v.Len() {
			if err := s.verify(at.Items, fmt.Sprintf("%s[%d]", path, i), v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		if v.IsNil() {
			return fmt.Errorf("%s is null", path)
		}
		for it := v.MapRange(); at.Values != nil && it.Next(); {
			if err := s.verify(at.Values, join(path, it.Key().String()), it.Value()); err != nil {
				return err
			}
		}
	case reflect.String:
		if len(at.Enum) > 0 && !slices.Contains(at.Enum, v.String()) {
			return fmt.Errorf("%s is %q", path, clip(v.String()))
		}
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%s is %v", path, f)
		}
	}
	return nil
}

func (s *Schema) fields(at *Schema, path string, v reflect.Value) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			if err := s.fields(at, path, v.Field(i)); err != nil {
				return err
			}
			continue
		case !f.IsExported(), strings.Contains(opts, "omitempty") && empty(v.Field(i)), strings.Contains(opts, "omitzero") && v.Field(i).IsZero():
			continue
		}
		p := at.Property(name)
		if p == nil {
			return fmt.Errorf("%s is not in the schema", join(path, name))
		}
		if err := s.verify(p.Schema, join(path, name), v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// empty reports what encoding/json's omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return false
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}
