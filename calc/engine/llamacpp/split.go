package llamacpp

// assign places the nodes that no weight or cache fixes: a device's
// neighbours before and after go to that device, the rest to the host's.
func (s *simulator) assign() {
	g := s.g
	n := len(g.nodes)
	placed := make([]bool, n)
	real := func(i int) bool {
		x := &g.nodes[i]
		return x.role != input && x.role != external && (x.root == none || x.writes)
	}
	for i := range n {
		placed[i] = g.nodes[i].fixed
	}
	pass := func(devices, up bool) {
		cur, set := int8(0), false
		for j := range n {
			i := j
			if up {
				i = n - 1 - j
			}
			if !real(i) {
				continue
			}
			x := &g.nodes[i]
			switch {
			case placed[i]:
				cur, set = x.dev, !devices || x.dev != g.host
			case set:
				x.dev, placed[i] = cur, true
			}
		}
	}
	pass(true, false)
	pass(true, true)
	pass(false, false)
	pass(false, true)
}

// split orders the graph as the scheduler does: a run of nodes on one backend
// is a split; what it reads from another backend is copied over when the split
// starts, once for each backend. (ggml_backend_sched_split_graph)
func (s *simulator) split() {
	s.assign()
	g := s.g
	n := len(g.nodes)
	order := make([]id, 0, n+32)
	copied := make(map[crossing]id)
	first := true
	cur := int8(0)
	var inputs, body []id
	flush := func() {
		order = append(order, inputs...)
		order = append(order, body...)
		inputs, body = inputs[:0], body[:0]
	}
	for i := range n {
		x := &g.nodes[i]
		if x.role == input {
			continue
		}
		isView := x.root != none && !x.writes
		if x.role == external {
			continue
		}
		if !isView {
			if first {
				cur, first = x.dev, false
			} else if x.dev != cur || len(inputs) > 0 && s.copiesWeight(i, cur) {
				flush()
				cur = x.dev
			}
			for j := x.first; j < x.first+x.num; j++ {
				src := g.src[j]
				if s.home(src) == cur {
					continue
				}
				key := crossing{src, cur}
				c, ok := copied[key]
				if !ok {
					c = s.copyOf(src, cur)
					copied[key] = c
					inputs = append(inputs, s.dependency(src), c)
					x = &g.nodes[i]
				}
				g.src[j] = c
			}
		}
		body = append(body, id(i))
	}
	flush()
	s.order = order
}

// copiesWeight reports whether a node reads a weight of another backend: it
// begins a split of its own, so that the memory of weights copied before can be
// used again.
func (s *simulator) copiesWeight(n int, cur int8) bool {
	x := &s.g.nodes[n]
	for _, src := range s.g.src[x.first : x.first+x.num] {
		if s.g.nodes[src].weight && s.home(src) != cur {
			return true
		}
	}
	return false
}

// crossing is a tensor needed on another backend.
type crossing struct {
	src id
	dev int8
}

// home returns the backend that holds a node: a view is where its root is.
func (s *simulator) home(n id) int8 {
	x := &s.g.nodes[n]
	if x.root != none && !x.outer {
		return s.g.nodes[x.root].dev
	}
	return x.dev
}

// dependency appends the node that keeps a source alive until it is copied.
func (s *simulator) dependency(src id) id {
	g := s.g
	g.nodes = append(g.nodes, node{root: none, outer: true, dev: s.home(src), first: int32(len(g.src)), num: 1})
	g.src = append(g.src, src)
	return id(len(g.nodes) - 1)
}

func (s *simulator) copyOf(src id, dev int8) id {
	g := s.g
	x := g.nodes[src]
	size := x.size
	c := node{size: size, shape: x.shape, elem: x.elem, dev: dev, root: none, first: int32(len(g.src))}
	if s.copies > 1 {
		c.role, c.out = input, true
	}
	g.nodes = append(g.nodes, c)
	return id(len(g.nodes) - 1)
}
