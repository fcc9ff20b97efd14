package llamacpp

// shape is a tensor's sizes, innermost first, as ggml counts them.
type shape [4]int64

func (s shape) elems() int64 { return s[0] * s[1] * s[2] * s[3] }

// id is a node of a graph; none stands for a source outside it: a weight or a
// cache, which the allocator never touches.
type id int32

const none id = -1

// role says how the allocator treats a node.
type role uint8

const (
	// 0 is a plain node, which gets memory of its own.
	_ role = iota
	// reuse: the operation may be done in place of a source of equal shape
	// that nothing else needs. (ggml_op_can_inplace)
	reuse
	// input: filled from the host before the graph runs, allocated first.
	input
	// external: a tensor outside the graph, listed to be a source.
	external
)

// node is one tensor of the compute graph.
type node struct {
	size  int64
	shape shape
	elem  int8
	role  role
	out   bool
	dev   int8
	// root is the node whose memory a view shows, none for no view.
	root id
	// outer marks a tensor outside the graph (a cache, a weight), or a view of
	// one: the allocator never touches it.
	outer bool
	// writes marks an operation whose result is a view of what it wrote into.
	writes bool
	// fixed nodes run where their weights or caches are; the scheduler places
	// the others.
	fixed bool
	// weight marks an external tensor that is a weight: a split that has copied
	// anything ends before the next such copy.
	weight     bool
	first, num int32 // sources, in graph.src
}

// graph is the part of llama.cpp's compute graph that decides how much memory
// its allocator needs: sizes and lifetimes of tensors, in order of execution.
type graph struct {
	nodes  []node
	src    []id
	inputs []id
	dev    int8 // where new nodes go
	host   int8
	// offload: the first device runs operations on many rows whose weight is on
	// the host, which is copied over for them.
	offload bool
	// outsideInputs: inputs have buffers of their own.
	outsideInputs bool
}

// offloadRows is how many rows an operation has to have for a device to take it
// from the host. (offload_op of ggml's CUDA, Vulkan and SYCL backends)
const offloadRows = 32

func (g *graph) push(n node, src ...id) id {
	n.first = int32(len(g.src))
	for _, s := range src {
		if s != none {
			g.src = append(g.src, s)
		}
	}
	n.num = int32(len(g.src)) - n.first
	if n.root == 0 && !n.outer {
		n.root = none
	}
	n.dev = g.dev
	g.nodes = append(g.nodes, n)
	return id(len(g.nodes) - 1)
}

// op appends an operation with its own f32 (or i32) result.
func (g *graph) op(s shape, src ...id) id {
	return g.push(node{size: 4 * s.elems(), shape: s, elem: 4, root: none}, src...)
}

// typed appends an operation whose result has elements of the given bytes.
func (g *graph) typed(elem int8, s shape, src ...id) id {
	return g.push(node{size: int64(elem) * s.elems(), shape: s, elem: elem, root: none}, src...)
}

// same appends an operation that may be done in place, shaped as its first
// source.
func (g *graph) same(src ...id) id {
	n := &g.nodes[src[0]]
	return g.push(node{size: int64(n.elem) * n.shape.elems(), shape: n.shape, elem: n.elem, role: reuse, root: none}, src...)
}

// view appends a view (view, reshape, permute, transpose) of src with the
// given shape. Views take nothing; they keep what they show alive.
func (g *graph) view(src id, s shape) id {
	p := &g.nodes[src]
	root := p.root
	if root == none {
		root = src
	}
	return g.push(node{shape: s, elem: p.elem, root: root, outer: p.outer, size: int64(p.elem) * s.elems()}, src)
}

// store appends a write into a cache: it needs its sources and makes nothing.
func (g *graph) store(src ...id) id {
	return g.push(node{root: none, outer: true, fixed: true}, src...)
}

// in appends an input of the given element size, which lives on the host.
func (g *graph) in(elem int8, s shape) id {
	dev := g.dev
	g.dev = g.host
	size := int64(elem) * s.elems()
	if g.outsideInputs {
		size = 0
	}
	n := g.push(node{size: size, shape: s, elem: elem, role: input, root: none, fixed: true})
	g.dev = dev
	g.inputs = append(g.inputs, n)
	return n
}

// on fixes where n, the newest node, runs: where its weight is, which is where
// new nodes go now; on the first device when that takes operations on so many
// rows over. The weight has so many bytes. (ggml_backend_sched_backend_id_from_cur)
func (g *graph) on(n id, rows, bytes int64) id {
	g.nodes[n].fixed = true
	if g.offload && g.nodes[n].dev == g.host && rows >= offloadRows {
		g.nodes[n].dev = 0
		w := g.outside(bytes, g.host)
		g.nodes[w].weight = true
		g.src = append(g.src, w)
		g.nodes[n].num++
	}
	return n
}

// outside appends a tensor outside the graph, such as a cache that another
// backend may have to copy.
func (g *graph) outside(size int64, dev int8) id {
	g.nodes = append(g.nodes, node{size: size, role: external, root: none, outer: true, fixed: true, dev: dev, first: int32(len(g.src))})
	return id(len(g.nodes) - 1)
}

// keep marks n as an output of the graph.
func (g *graph) keep(n id) id {
	g.nodes[n].out = true
	return n
}

func (g *graph) shape(n id) shape { return g.nodes[n].shape }
