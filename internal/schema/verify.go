package schema

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Verify checks a value of the Go type that s was made from before it is
// sent. The types are right by construction; what remains is what JSON
// Schema sees and Go does not: required values that are nil, strings outside
// their enum, numbers without a JSON form.
func (s *Schema) Verify(v any) error {
	if f := s.verify(s, reflect.ValueOf(v)); f != nil {
		return f
	}
	return nil
}

// fault is what is wrong with a value. The path is put together on the way
// out, so that a value without fault costs no strings.
type fault struct {
	path []string // innermost first
	why  string
}

func (f *fault) in(name string) *fault {
	f.path = append(f.path, name)
	return f
}

// Error names the value and says what is wrong with it.
func (f *fault) Error() string {
	slices.Reverse(f.path)
	return strings.Join(f.path, ".") + " " + f.why
}

func (s *Schema) verify(at *Schema, v reflect.Value) *fault {
	if at.Ref != "" {
		at = s.Defs[at.Ref]
	}
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return &fault{why: "is null"}
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		return s.fields(at, v)
	case reflect.Slice:
		if v.IsNil() {
			return &fault{why: "is null"}
		}
		for i := 0; at.Items != nil && i < v.Len(); i++ {
			if f := s.verify(at.Items, v.Index(i)); f != nil {
				return f.in(strconv.Itoa(i))
			}
		}
	case reflect.Map:
		if v.IsNil() {
			return &fault{why: "is null"}
		}
		for it := v.MapRange(); at.Values != nil && it.Next(); {
			if f := s.verify(at.Values, it.Value()); f != nil {
				return f.in(it.Key().String())
			}
		}
	case reflect.String:
		if len(at.Enum) > 0 && !slices.Contains(at.Enum, v.String()) {
			return &fault{why: fmt.Sprintf("is %q", clip(v.String()))}
		}
	case reflect.Float32, reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return &fault{why: fmt.Sprintf("is %v", x)}
		}
	}
	return nil
}

func (s *Schema) fields(at *Schema, v reflect.Value) *fault {
	for i := range at.Properties {
		p := &at.Properties[i]
		x := v.FieldByIndex(p.index)
		if p.omitEmpty && empty(x) || p.omitZero && x.IsZero() {
			continue
		}
		if f := s.verify(p.Schema, x); f != nil {
			return f.in(p.Name)
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
