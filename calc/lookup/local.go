package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

func init() {
	register(source{name: "local", rank: 10, claims: isPath, resolve: fromPath})
	// A name that nothing else knows may still be a directory here.
	register(source{name: "local", rank: 60, claims: exists, resolve: fromPath})
}

// MaxConfig and MaxIndex bound the JSON files that are read whole, in bytes.
const (
	MaxConfig = hfconfig.MaxSize
	MaxIndex  = 64 << 20
)

// fromPath describes the model at a path: a directory, a config.json, a
// safetensors file or index, a GGUF file.
func fromPath(ctx context.Context, ref string, _ Request) (*Result, error) {
	info, err := os.Stat(ref)
	if err != nil {
		return nil, pathError(ref, err)
	}
	var r *Result
	switch low := strings.ToLower(ref); {
	case info.IsDir():
		r, err = fromDir(ctx, ref)
	case !info.Mode().IsRegular():
		return nil, model.Errorf(model.InvalidArgument, "model", "%s is not a regular file", Clean(ref, MaxText))
	case strings.HasSuffix(low, ".gguf"):
		r, err = fromGGUF(ctx, ref)
	case strings.HasSuffix(low, ".safetensors"), strings.HasSuffix(low, ".safetensors.index.json"):
		r, err = fromCheckpoint(ctx, filepath.Dir(ref), filepath.Join(filepath.Dir(ref), "config.json"))
	case strings.HasSuffix(low, ".json"):
		r, err = fromCheckpoint(ctx, filepath.Dir(ref), ref)
	default:
		return nil, model.Errorf(model.InvalidArgument, "model", "%s is neither config.json, a safetensors nor a GGUF file", Clean(ref, MaxText)).
			WithHint("name the file, or the directory that it is in")
	}
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = ref, "local"
	return finish(r), nil
}

// fromDir describes the model of a directory: its config.json with the
// safetensors files beside it, else its GGUF.
func fromDir(ctx context.Context, dir string) (*Result, error) {
	config := filepath.Join(dir, "config.json")
	if exists(config) {
		return fromCheckpoint(ctx, dir, config)
	}
	found, err := ggufs(dir)
	if err != nil {
		return nil, pathError(dir, err)
	}
	switch len(found) {
	case 0:
		return nil, model.Errorf(model.ModelNotFound, "model", "%s has neither config.json nor a GGUF file", Clean(dir, MaxText))
	case 1:
		return fromGGUF(ctx, found[0])
	}
	e := model.Errorf(model.InvalidArgument, "model", "%s has %d GGUF models", Clean(dir, MaxText), len(found))
	e.Candidates = found[:min(len(found), 20)]
	return nil, e.WithHint("name one of them")
}

// fromCheckpoint describes the model of a config.json with the safetensors
// headers that are in dir.
func fromCheckpoint(ctx context.Context, dir, config string) (*Result, error) {
	raw, err := readFile(config, MaxConfig)
	if err != nil {
		return nil, pathError(config, err)
	}
	r := &Result{Files: []File{{Path: config, Bytes: int64(len(raw)), Role: "config"}}}
	if raw, err = addQuantConfig(r, dir, raw); err != nil {
		return nil, err
	}
	r.Model, err = hfconfig.Parse(raw)
	if err != nil && code(err) != model.UnsupportedArchitecture {
		return nil, at(config, err)
	}
	if attachErr := attachHeaders(ctx, r, dir, raw, err); attachErr != nil {
		return nil, attachErr
	}
	r.Provenance = append(r.Provenance, fact("config", filepath.Base(config), "local file"))
	return r, nil
}

// addQuantConfig puts what hf_quant_config.json says into a configuration
// that says nothing about quantization itself, in the form that engines give
// it: method modelopt with the file's quantization object.
func addQuantConfig(r *Result, dir string, raw []byte) ([]byte, error) {
	path := filepath.Join(dir, "hf_quant_config.json")
	side, err := readFile(path, MaxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return raw, nil
	} else if err != nil {
		return nil, pathError(path, err)
	}
	var config map[string]json.RawMessage
	var quant struct {
		Quantization map[string]json.RawMessage `json:"quantization"`
	}
	if json.Unmarshal(raw, &config) != nil || config["quantization_config"] != nil || config == nil {
		return raw, nil
	}
	if err := json.Unmarshal(side, &quant); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: path, Message: "not the JSON object that a quantizer writes", Err: err}
	}
	if len(quant.Quantization) == 0 {
		return raw, nil
	}
	quant.Quantization["quant_method"] = json.RawMessage(`"modelopt"`)
	if config["quantization_config"], err = json.Marshal(quant.Quantization); err != nil {
		return nil, err
	}
	r.Files = append(r.Files, File{Path: path, Bytes: int64(len(side)), Role: "quantization"})
	r.Provenance = append(r.Provenance, fact("quantization", "modelopt", "hf_quant_config.json"))
	return json.Marshal(config)
}

// ggufs returns the models in dir: whole files and the first parts of split
// ones, without projector files.
func ggufs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if !strings.HasSuffix(name, ".gguf") || strings.HasPrefix(name, "mmproj") || e.IsDir() {
			continue
		}
		if part, ok := splitPart(name); ok && part != 1 {
			continue
		}
		out = append(out, filepath.Join(dir, e.Name()))
	}
	slices.Sort(out)
	return out, nil
}

// splitPart returns the number in "…-00002-of-00003.gguf".
func splitPart(name string) (int, bool) {
	const tail = len("-00001-of-00003.gguf")
	var part, of int
	if len(name) <= tail {
		return 0, false
	}
	n, err := fmt.Sscanf(name[len(name)-tail:], "-%05d-of-%05d.gguf", &part, &of)
	return part, err == nil && n == 2
}

// readFile reads a whole regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, model.Errorf(model.InvalidArgument, path, "is not a regular file")
	case info.Size() > limit:
		return nil, model.Errorf(model.MalformedFile, path, "%d bytes is beyond the limit of %d for this file", info.Size(), limit)
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// pathError turns an error of the file system into one that says what to do.
func pathError(path string, err error) error {
	var e *model.Error
	if errors.As(err, &e) {
		return err
	}
	show := Clean(path, MaxText)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return model.Errorf(model.ModelNotFound, "model", "there is no file %s", show).WithHint("check the path; relative paths start at the server's working directory")
	case errors.Is(err, fs.ErrPermission):
		return model.Errorf(model.Denied, "model", "no permission to read %s", show)
	}
	return &model.Error{Code: model.MalformedFile, Field: show, Message: "cannot be read", Err: err}
}

// at puts the file's path in front of a parser's error.
func at(path string, err error) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return err
	}
	x := *e
	if x.Field = Clean(path, MaxText); e.Field != "" && e.Field != "config.json" {
		x.Field += ": " + e.Field
	}
	return &x
}

// code returns the code of a *model.Error, "" for another error.
func code(err error) model.Code {
	var e *model.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
