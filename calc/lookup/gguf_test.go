package lookup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// write puts a GGUF file with a hole for its data into dir.
func write(t *testing.T, path string, f *ggufgen.File) {
	t.Helper()
	if err := os.WriteFile(path, f.Header(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(f.Header()))+f.DataBytes()); err != nil {
		t.Fatal(err)
	}
}

// reported returns the first F16 model that the engine reported, its size and
// its number of parameters.
func reported(t *testing.T) (*ggufgen.File, int64, int64) {
	t.Helper()
	e, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range e.Rows {
		if r.Weights == "F16" && r.Error == "" && r.ModelSize < 1<<32 {
			f, err := ggufgen.Build(e.Hyperparameters[r.Model])
			if err != nil {
				t.Fatal(err)
			}
			return f, r.ModelSize, r.NParams
		}
	}
	t.Fatal("no row fits")
	return nil, 0, 0
}

func TestGGUF(t *testing.T) {
	f, bytes, params := reported(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "model.gguf")
	write(t, path, f)
	write(t, filepath.Join(dir, "mmproj-model.gguf"), projectorFile(ggml.F16))
	for _, ref := range []string{path, dir} {
		r, err := resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		if r.StoredBytes != bytes || r.Model.Count().Total != params || !r.Model.Exact || r.Model.Format != model.FormatGGUF {
			t.Errorf("%s: %d bytes, %d parameters; the engine reported %d and %d", ref, r.StoredBytes, r.Model.Count().Total, bytes, params)
		}
		if r.StoredByDType["F16"] == 0 || r.StoredByDType["F16"]+r.StoredByDType["F32"] != bytes {
			t.Errorf("by type: %v", r.StoredByDType)
		}
	}
}

// Any file of a split set stands for all; without one of them it is an error
// that names it.
func TestSplitGGUF(t *testing.T) {
	f, bytes, params := reported(t)
	dir := t.TempDir()
	const count = 3
	var paths []string
	all := f.Tensors
	for i := range count {
		part := *f
		part.KV = nil
		if i == 0 {
			part.KV = append(part.KV, f.KV...)
		}
		part.Tensors = all[i*len(all)/count : (i+1)*len(all)/count]
		part.Set("split.no", uint16(i)).Set("split.count", uint16(count)).Set("split.tensors.count", int32(len(all)))
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("m-%05d-of-%05d.gguf", i+1, count)))
		write(t, paths[i], &part)
	}
	for _, ref := range append(paths, dir) {
		r, err := resolve(ref)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if r.StoredBytes != bytes || r.Model.Count().Total != params || len(r.Files) != count {
			t.Errorf("%s: %d bytes, %d parameters, %d files", ref, r.StoredBytes, r.Model.Count().Total, len(r.Files))
		}
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve(paths[2]); code(err) != model.MalformedFile || !strings.Contains(err.Error(), "m-00002-of-00003.gguf") {
		t.Errorf("part missing: %v", err)
	}
}

func TestBadGGUF(t *testing.T) {
	for name, b := range map[string]string{"empty": "", "text": "hello", "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := os.WriteFile(path, []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := resolve(path); code(err) != model.MalformedFile {
			t.Errorf("%s: %v", name, err)
		}
	}
}
