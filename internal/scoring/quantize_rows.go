package scoring

import (
	"encoding/json"
	"fmt"

	"hwledger/calc/model"
	"hwledger/calc/quant"
	reported "hwledger/internal/observed"
)

// Figures of what llama-quantize reported.
const (
	figBytes = "bytes of the file's tensors"
	figTypes = "types of the tensors"
)

// quantizeRow assigns the types of one file type and compares bytes, and the
// type of each tensor where the model's tensors have a GGUF's names.
func (s *shapes) quantizeRow(l *line) entry {
	e := entry{ID: l.id()}
	var r reported.QuantizeRow
	if err := json.Unmarshal(l.raw, &r); err != nil {
		e.Skipped = "not a row: " + err.Error()
		return e
	}
	e.ID, e.Model = fmt.Sprintf("%s %s %s", e.ID, r.Model, r.FType), r.Model
	if r.Bytes == 0 {
		e.Skipped = "llama-quantize reported no bytes"
		return e
	}
	var own struct{ Hyperparameters json.RawMessage }
	_ = json.Unmarshal(l.raw, &own) // the row was one
	f := s.find(r.Model, own.Hyperparameters)
	if f.err != nil {
		e.Skipped = "no model: " + f.err.Error()
		return e
	}
	e.Matched = f.name
	scheme, err := quant.GGUF(r.FType)
	var stored []quant.Stored
	if err == nil {
		stored, err = scheme.Assign(f.m)
	}
	if err != nil {
		e.add(figBytes, "", float64(r.Bytes), 0, 0)
		e.remark("%v", err)
		return e
	}
	e.add(figBytes, "", float64(r.Bytes), float64(quant.Sum(stored)), 0)
	if f.m.Format == model.FormatGGUF {
		e.types(&r, f.m, stored)
	}
	return e
}

// types counts the tensors that have the type that llama-quantize chose.
func (e *entry) types(r *reported.QuantizeRow, m *model.Model, stored []quant.Stored) {
	same := 0
	for i := range stored {
		t := &m.Tensors[i]
		want, ok := r.TypeOf(t.Name, t.Layer)
		if ok && want == stored[i].Type {
			same++
		} else if len(e.Remarks) < 3 {
			e.remark("layer %d %s is %s, reported %s", t.Layer, t.Name, stored[i].Type, want)
		}
	}
	e.add(figTypes, "", float64(len(stored)), float64(same), 0)
}
