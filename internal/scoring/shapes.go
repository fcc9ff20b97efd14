package scoring

import (
	"bytes"
	"encoding/json"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// shapes finds the models that records of llama.cpp name: by hyperparameters
// in the files, by those of well-known models, else by configuration.
type shapes struct {
	given  map[string]json.RawMessage
	built  map[string]*found
	models *models
}

// keep remembers hyperparameters by their name and reports whether they have
// one.
func (s *shapes) keep(raw json.RawMessage) bool {
	var h struct{ Name string }
	if len(raw) == 0 || json.Unmarshal(raw, &h) != nil || h.Name == "" {
		return false
	}
	s.given[h.Name] = raw
	return true
}

// find returns the model of a name. own are the record's own hyperparameters,
// empty when it has none.
func (s *shapes) find(name string, own json.RawMessage) *found {
	raw := own
	if len(raw) == 0 {
		raw = s.given[name]
	}
	if len(raw) == 0 {
		raw, _ = ggufgen.Shape(name)
	}
	if len(raw) == 0 {
		return s.models.find(name)
	}
	if f := s.built[string(raw)]; f != nil {
		return f
	}
	f := &found{name: name, exact: true}
	f.m, f.err = fromShape(raw)
	if s.built == nil {
		s.built = map[string]*found{}
	}
	s.built[string(raw)] = f
	return f
}

// fromShape reads the model that a header of these hyperparameters describes.
func fromShape(raw json.RawMessage) (*model.Model, error) {
	f, err := ggufgen.Build(raw)
	if err != nil {
		return nil, err
	}
	head := f.Header()
	h, err := gguf.Parse(bytes.NewReader(head), int64(len(head))+f.DataBytes())
	if err != nil {
		return nil, err
	}
	return h.Model()
}
