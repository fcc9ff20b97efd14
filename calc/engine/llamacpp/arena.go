package llamacpp

// block is a free range of an arena.
type block struct{ off, size int64 }

// endless is the size of an arena before anything is in it: ggml's measuring
// allocator never runs out, it only remembers how far it got.
const endless = int64(1) << 62

// arena is ggml's measuring allocator for one buffer: it keeps free ranges in
// order of address and gives the tightest one that holds the request, the
// open end only when nothing else does. (ggml/src/ggml-alloc.c,
// ggml_dyn_tallocr)
type arena struct {
	free  []block
	align int64
	peak  int64
}

func (a *arena) reset(align int64) {
	a.free = append(a.free[:0], block{0, endless})
	a.align, a.peak = align, 0
}

// alloc returns the offset of size bytes.
func (a *arena) alloc(size int64) int64 {
	size = pad(size, a.align)
	last := len(a.free) - 1
	best, fit := last, endless
	for i := 0; i < last; i++ {
		if s := a.free[i].size; s >= size && s <= fit {
			best, fit = i, s
		}
	}
	b := &a.free[best]
	off := b.off
	b.off += size
	b.size -= size
	if b.size == 0 {
		a.free = append(a.free[:best], a.free[best+1:]...)
	}
	a.peak = max(a.peak, off+size)
	return off
}

// release gives size bytes at off back and joins them with their neighbours.
func (a *arena) release(off, size int64) {
	size = pad(size, a.align)
	if size == 0 {
		return
	}
	i := 0
	for i < len(a.free) && a.free[i].off < off {
		i++
	}
	joinsPrev := i > 0 && a.free[i-1].off+a.free[i-1].size == off
	joinsNext := i < len(a.free) && off+size == a.free[i].off
	switch {
	case joinsPrev && joinsNext:
		a.free[i-1].size += size + a.free[i].size
		a.free = append(a.free[:i], a.free[i+1:]...)
	case joinsPrev:
		a.free[i-1].size += size
	case joinsNext:
		a.free[i].off, a.free[i].size = off, a.free[i].size+size
	default:
		a.free = append(a.free, block{})
		copy(a.free[i+1:], a.free[i:])
		a.free[i] = block{off, size}
	}
}

// pad rounds n up to a multiple of m.
func pad(n, m int64) int64 { return (n + m - 1) / m * m }
