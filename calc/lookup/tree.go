package lookup

import (
	"context"
	"io"
	"sync"
)

// tree is the files that one description is read from: a directory on disk, a
// commit of a Hub repository. Names are relative and use slashes. Everything
// that reads a checkpoint reads it through a tree, so that a new place for
// files is one more implementation and nothing else.
type tree interface {
	// files lists the files; a directory lists its own, a repository those of
	// its folders too.
	files(ctx context.Context) ([]entry, error)
	// has reports whether name is there with its content. A pointer that Git
	// LFS left in its place is not.
	has(ctx context.Context, name string) bool
	// read returns a whole small file. The error of one that is not there
	// wraps fs.ErrNotExist; of one above limit it is MalformedFile.
	read(ctx context.Context, name string, limit int64) ([]byte, error)
	// open opens a file of any size to read its header.
	open(ctx context.Context, name string) (blob, error)
	// path returns where name is, as it is shown: a path or an address.
	path(name string) string
	// origin says in provenance what kind of place this is.
	origin() string
}

// entry is one file of a tree.
type entry struct {
	name string
	size int64 // -1 when unknown
}

// blob is an opened file. A remote one fetches no more than what is read,
// rounded up to windows.
type blob interface {
	io.ReaderAt
	io.Closer
	// Size is the file's size in bytes, -1 when unknown.
	Size() int64
}

// parallel is the most headers that are read at once.
const parallel = 12

// each calls work for 0…n-1, several at once, and returns the first error. The
// context of the others is cancelled then.
func each(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, parallel) {
		wg.Go(func() {
			for i := range next {
				if err := work(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
