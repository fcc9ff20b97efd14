package llamacpp

// life is what the allocator knows of a node while it walks the graph.
type life struct {
	children, views int32
	owned           bool
	off             int64
}

// simulator runs ggml's graph allocator over a graph without allocating.
type simulator struct {
	g      *graph
	lives  []life
	arenas []arena
	order  []id
	copies int
}

// simulate returns the compute buffer of every backend: devices first, the
// host last. align is each buffer's alignment. (ggml_gallocr_reserve over the
// splits of ggml_backend_sched_split_graph)
// With copies above 1 inputs, and what crosses devices, are kept that many
// times.
func simulate(g *graph, align []int64, copies int) []int64 {
	s := simulator{g: g, arenas: make([]arena, len(align)), copies: copies}
	for i := range s.arenas {
		s.arenas[i].free = make([]block, 0, 16)
		s.arenas[i].reset(align[i])
	}
	if len(align) > 1 {
		s.split()
	} else {
		s.order = make([]id, 0, len(g.nodes))
		for i := range g.nodes {
			if g.nodes[i].role != input {
				s.order = append(s.order, id(i))
			}
		}
	}
	s.lives = make([]life, len(g.nodes))
	s.count()
	for _, n := range s.order {
		s.step(n)
	}
	out := make([]int64, len(align))
	for i := range out {
		out[i] = s.arenas[i].peak
	}
	return out
}

func (s *simulator) sources(n id) []id {
	x := &s.g.nodes[n]
	return s.g.src[x.first : x.first+x.num]
}

// count counts uses and allocates inputs, which come before everything.
func (s *simulator) count() {
	for _, n := range s.g.inputs {
		s.allocate(n)
	}
	for _, n := range s.order {
		x := &s.g.nodes[n]
		if x.root != none && !x.outer {
			s.lives[x.root].views++
		}
		for _, p := range s.sources(n) {
			s.lives[p].children++
			if s.g.nodes[p].role == input {
				s.allocate(p)
			}
		}
	}
}

// step allocates a node's sources and itself, then frees what it was the last
// to use.
func (s *simulator) step(n id) {
	for _, p := range s.sources(n) {
		s.allocate(p)
	}
	s.allocate(n)
	for _, p := range s.sources(n) {
		l := &s.lives[p]
		l.children--
		if l.children != 0 || l.views != 0 {
			continue
		}
		x := &s.g.nodes[p]
		if x.root == none {
			if l.owned {
				s.release(p)
			}
			continue
		}
		if x.outer {
			continue
		}
		r := &s.lives[x.root]
		r.views--
		if r.views == 0 && r.children == 0 && r.owned {
			s.release(x.root)
		}
	}
}

func (s *simulator) allocate(n id) {
	x, l := &s.g.nodes[n], &s.lives[n]
	if l.owned || x.root != none || x.outer || l.off < 0 {
		return
	}
	l.owned = true
	if x.role == reuse {
		for _, p := range s.sources(n) {
			if s.takeOver(n, p) {
				return
			}
		}
	}
	l.off = s.arenas[x.dev].alloc(x.size)
	if x.role == input && s.copies > 1 {
		x.out = true
		for range s.copies - 1 {
			s.arenas[x.dev].alloc(x.size)
		}
	}
}

// takeOver lets n use the memory of its source p when nothing else needs it.
// Views are never taken over: the allocator does not own them.
func (s *simulator) takeOver(n, p id) bool {
	x, y, l := &s.g.nodes[n], &s.g.nodes[p], &s.lives[p]
	if !l.owned || y.root != none || y.out || y.shape != x.shape || y.elem != x.elem || l.children != 1 || l.views != 0 {
		return false
	}
	s.lives[n].off, x.dev = l.off, y.dev
	l.owned, l.off = false, -1
	return true
}

func (s *simulator) release(n id) {
	x, l := &s.g.nodes[n], &s.lives[n]
	if x.out {
		return
	}
	s.arenas[x.dev].release(l.off, x.size)
	l.owned = false
	l.off = -1
}
