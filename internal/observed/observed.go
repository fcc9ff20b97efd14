// Package observed reads the sizes that real llama.cpp builds reported, kept
// in testdata/llamacpp, so that tests of several packages can be held against
// them. testdata/README.md says how they were obtained.
package observed

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Engine is what the engine reported for a set of settings.
type Engine struct {
	// Hyperparameters describe each model by name; ggufgen builds its header
	// from them.
	Hyperparameters map[string]json.RawMessage
	Rows            []EngineRow
}

// EngineRow is one start of llama.cpp: a model, a weight type and a setting.
type EngineRow struct {
	Engine  string // "v0.5.0" or "0.7.0"
	Model   string
	Weights string // F16, or a file type of llama-quantize
	Setting Setting
	// Devices is the number of RPC devices that stood in for GPUs. Placement
	// on them is true, their compute buffers are not those of a GPU.
	Devices int
	// What the context reported after its own rounding.
	NCtx      int64 `json:"n_ctx"`
	NCtxSeq   int64 `json:"n_ctx_seq"`
	NBatch    int64 `json:"n_batch"`
	NUBatch   int64 `json:"n_ubatch"`
	ModelSize int64 `json:"model_size"` // bytes of all tensors, unpadded
	NParams   int64 `json:"n_params"`
	// Breakdown is bytes by buffer type ("CPU", "RPC0[…]", "CPU_REPACK").
	Breakdown map[string]Buffers
	Parsed    Parsed
	// Error is set when the engine refused or aborted; then nothing is
	// reported.
	Error string
}

// Setting is how the engine was started. Pointers are nil where the library's
// own default applied.
type Setting struct {
	NCtx         int64  `json:"n_ctx"`
	NSeqMax      int64  `json:"n_seq_max"`
	NBatch       int64  `json:"n_batch"`
	NUBatch      int64  `json:"n_ubatch"`
	FA           int    `json:"fa"`
	CTK          string `json:"ctk"` // cache types, "" for f16
	CTV          string `json:"ctv"`
	KVUnified    *int   `json:"kv_unified"` // default 0
	SWAFull      *int   `json:"swa_full"`   // default 0
	NOutputsMax  *int64 `json:"n_outputs_max"`
	NRSSeq       *int64 `json:"n_rs_seq"`
	NGL          *int64 `json:"ngl"`
	TensorSplit  string `json:"ts"` // "3,1"
	Override     string `json:"ot"` // tensors kept on the CPU
	OffloadKQV   *int   `json:"offload_kqv"`
	OpOffload    *int   `json:"op_offload"`
	MMap         *int   `json:"mmap"`
	Real         *int   `json:"real"`  // 1: really allocated
	ExtraBuffers *int   `json:"extra"` // CPU repack buffers allowed
}

// Buffers are the bytes of one buffer type; Context is attention cache and
// recurrent state together.
type Buffers struct{ Model, Context, Compute int64 }

// Parsed holds figures of the engine's log, in MiB to two decimals.
type Parsed struct {
	KV      []CacheLine
	RS      []CacheLine
	Output  []BufferLine `json:"output_buffer_mib"`
	Compute []BufferLine `json:"compute_buffer_mib"`
}

// CacheLine is one "size =" line of a cache: K and V, or R and S.
type CacheLine struct {
	TotalMiB float64 `json:"total_mib"`
	Cells    int64
	Layers   int64
	Seqs     string
	AType    string  `json:"a_type"`
	AMiB     float64 `json:"a_mib"`
	BType    string  `json:"b_type"`
	BMiB     float64 `json:"b_mib"`
}

// BufferLine is one buffer size of the log.
type BufferLine struct {
	Buffer string
	MiB    float64
}

// UnmarshalJSON reads the pair [name, MiB].
func (b *BufferLine) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[2]any{&b.Buffer, &b.MiB})
}

// Context returns the bytes of caches and states over all buffers.
func (r *EngineRow) Context() int64 { return r.sum(func(b Buffers) int64 { return b.Context }) }

// Compute returns the bytes of compute buffers over all buffers.
func (r *EngineRow) Compute() int64 { return r.sum(func(b Buffers) int64 { return b.Compute }) }

// Weighed returns the bytes of model buffers, each tensor with its padding.
func (r *EngineRow) Weighed() int64 { return r.sum(func(b Buffers) int64 { return b.Model }) }

func (r *EngineRow) sum(f func(Buffers) int64) int64 {
	var n int64
	for _, b := range r.Breakdown {
		n += f(b)
	}
	return n
}

// QuantizeRow is what llama-quantize chose for one model and file type.
type QuantizeRow struct {
	Model string
	FType string
	// Bytes is the exact sum of the quantized tensors.
	Bytes      int64            `json:"quant_bytes_exact"`
	TypeCounts map[string]int64 `json:"type_counts"`
	// Types gives each tensor's type by its name without "blk.N.".
	Types map[string]TypeRuns `json:"tensor_types"`
	// NeedsIMatrix: the tool would refuse to write the file without one.
	NeedsIMatrix bool `json:"needs_imatrix"`
}

// TypeRuns is the type of a tensor: one for a tensor outside the layers, or a
// run of layers for each type.
type TypeRuns struct {
	Type string
	Runs []TypeRun
}

// TypeRun is a type that layers First to Last share.
type TypeRun struct {
	Type        string
	First, Last int
}

// UnmarshalJSON reads "Q6_K" or [["Q6_K", 0, 3], …].
func (t *TypeRuns) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, &t.Type)
	}
	var runs [][3]any
	if err := json.Unmarshal(raw, &runs); err != nil {
		return err
	}
	for _, r := range runs {
		name, ok1 := r[0].(string)
		first, ok2 := r[1].(float64)
		last, ok3 := r[2].(float64)
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("bad run of types %v", r)
		}
		t.Runs = append(t.Runs, TypeRun{name, int(first), int(last)})
	}
	return nil
}

// TypeOf returns the type chosen for the tensor name of the layer (-1 outside
// the layers), and whether there is one.
func (q *QuantizeRow) TypeOf(name string, layer int) (string, bool) {
	t, ok := q.Types[name]
	if !ok {
		return "", false
	}
	if layer < 0 {
		return t.Type, t.Type != ""
	}
	for _, r := range t.Runs {
		if r.First <= layer && layer <= r.Last {
			return r.Type, true
		}
	}
	return "", false
}

// EngineReported reads testdata/llamacpp/engine_reported.jsonl.gz.
func EngineReported() (*Engine, error) {
	e := &Engine{Hyperparameters: map[string]json.RawMessage{}}
	err := lines("engine_reported.jsonl.gz", func(raw []byte) error {
		var line struct {
			Hyperparameters json.RawMessage
			EngineRow
		}
		if err := json.Unmarshal(raw, &line); err != nil {
			return err
		}
		if line.Hyperparameters == nil {
			e.Rows = append(e.Rows, line.EngineRow)
			return nil
		}
		var h struct{ Name string }
		if err := json.Unmarshal(line.Hyperparameters, &h); err != nil {
			return err
		}
		e.Hyperparameters[h.Name] = line.Hyperparameters
		return nil
	})
	return e, err
}

// QuantizeReported reads testdata/llamacpp/quantize_reported.jsonl.gz.
func QuantizeReported() ([]QuantizeRow, error) {
	var rows []QuantizeRow
	err := lines("quantize_reported.jsonl.gz", func(raw []byte) error {
		var q QuantizeRow
		if err := json.Unmarshal(raw, &q); err != nil {
			return err
		}
		rows = append(rows, q)
		return nil
	})
	return rows, err
}

// lines calls f with each line of a file of testdata/llamacpp.
func lines(name string, f func([]byte) error) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(root, "testdata", "llamacpp", name))
	if err != nil {
		return err
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		if err := f(s.Bytes()); err != nil {
			return fmt.Errorf("%s: line %d: %w", name, n, err)
		}
	}
	return s.Err()
}

// moduleRoot finds the directory of go.mod above the working directory, which
// go test sets to the package's own.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above %s", dir)
		}
		dir = up
	}
	return "", err
}
