package lookup

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"hwledger/calc/model"
)

// dirTree is a directory on disk.
type dirTree struct {
	dir string
	// from is what provenance calls the place; "local file" when empty.
	from string
	// deep lists the files of folders below too.
	deep bool
}

func (d dirTree) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d dirTree) origin() string {
	if d.from != "" {
		return d.from
	}
	return "local file"
}

// maxListed bounds the files of one tree.
const maxListed = 100_000

// files lists the directory's own files, and those of folders in it when the
// tree is deep. Links to directories are not followed.
func (d dirTree) files(ctx context.Context) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() && path != d.dir && !d.deep:
			return fs.SkipDir
		case e.IsDir():
			return nil
		case len(out) == maxListed:
			return fs.SkipAll
		}
		name, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}
		x := entry{name: filepath.ToSlash(name), size: -1}
		if info, err := os.Stat(path); err == nil { // through links
			x.size = info.Size()
		}
		out = append(out, x)
		return nil
	})
	if err != nil {
		return nil, pathError(d.dir, err)
	}
	return out, nil
}

func (d dirTree) has(_ context.Context, name string) bool {
	path := d.path(name)
	return exists(path) && !isPointer(path)
}

func (d dirTree) read(_ context.Context, name string, limit int64) ([]byte, error) {
	return readFile(d.path(name), limit)
}

func (d dirTree) open(_ context.Context, name string) (blob, error) {
	path := d.path(name)
	f, err := os.Open(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = model.Errorf(model.InvalidArgument, "model", "%s is not a regular file", Clean(path, MaxText))
	}
	if err != nil {
		f.Close()
		return nil, pathError(path, err)
	}
	return diskFile{f, info.Size()}, nil
}

// diskFile is an open file and its size.
type diskFile struct {
	*os.File
	size int64
}

func (f diskFile) Size() int64 { return f.size }

// isPointer reports whether a file is the short text that Git LFS leaves in
// place of a large one.
func isPointer(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1024 || !info.Mode().IsRegular() {
		return false
	}
	b, err := os.ReadFile(path)
	return err == nil && bytes.HasPrefix(b, []byte("version https://git-lfs."))
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
