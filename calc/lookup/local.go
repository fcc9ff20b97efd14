package lookup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	if networkPath(ref) {
		return nil, model.Errorf(model.Denied, "model", "%s is on another machine", Clean(ref, MaxText)).WithHint("give the share a drive letter, and name the file by it")
	}
	info, err := os.Stat(ref)
	if err != nil {
		return nil, pathError(ref, err)
	}
	dir, name := dirTree{dir: filepath.Dir(ref)}, filepath.Base(ref)
	var r *Result
	switch low := strings.ToLower(ref); {
	case info.IsDir():
		r, err = fromTree(ctx, dirTree{dir: ref})
	case !info.Mode().IsRegular():
		return nil, model.Errorf(model.InvalidArgument, "model", "%s is not a regular file", Clean(ref, MaxText))
	case strings.HasSuffix(low, ".gguf"):
		r, err = fromGGUF(ctx, dir, name)
	case strings.HasSuffix(low, ".safetensors"), strings.HasSuffix(low, ".safetensors.index.json"):
		r, err = fromCheckpoint(ctx, dir, configName)
	case strings.HasSuffix(low, ".json"):
		r, err = fromCheckpoint(ctx, dir, name)
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
