package proof

import (
	"golang.org/x/mod/sumdb/tlog"
)

// Frontier is the right edge of a growing RFC 6962 tree: the roots of its
// complete subtrees, largest first. The zero value is the empty tree.
type Frontier struct {
	size  int64
	roots []Hash
}

// bytes are the roots one after the other.
func (f *Frontier) bytes() []byte {
	var b []byte
	for i := range f.roots {
		b = append(b, f.roots[i][:]...)
	}
	return b
}

// Size is the number of leaves.
func (f *Frontier) Size() int64 { return f.size }

// Add appends a leaf. It appends to done the subtree roots which the leaf
// completes, of 2, 4, 8 … leaves.
func (f *Frontier) Add(leaf Hash, done []Hash) []Hash {
	h := leaf
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		h = tlog.NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
		done = append(done, h)
	}
	f.roots = append(f.roots, h)
	f.size++
	return done
}

// Root is the tree's hash, that of no bytes for the empty tree.
func (f *Frontier) Root() Hash {
	if len(f.roots) == 0 {
		h, _ := tlog.TreeHash(0, nil) // an empty tree reads nothing
		return h
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

// ReadFrontier returns the frontier of a tree of size leaves from its stored
// hashes.
func ReadFrontier(size int64, r tlog.HashReader) (Frontier, error) {
	f := Frontier{size: size}
	var at []int64
	for level, n := 0, size; n > 0; level, n = level+1, n>>1 {
		if n&1 == 1 {
			at = append(at, tlog.StoredHashIndex(level, n-1))
		}
	}
	for i, j := 0, len(at)-1; i < j; i, j = i+1, j-1 {
		at[i], at[j] = at[j], at[i]
	}
	if len(at) == 0 {
		return f, nil
	}
	roots, err := r.ReadHashes(at)
	f.roots = roots
	return f, err
}
