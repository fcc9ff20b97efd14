package gguf

import "strconv"

// windowRule says which layers of an architecture attend to a window only.
// (load_arch_hparams of src/models/<arch>.cpp)
type windowRule struct {
	// def is the window when the key is absent; 0: no window then, or an
	// error when the key is required.
	def      int64
	required bool
	// force replaces the window that the key names.
	force int64
	// period: layer i slides when i mod period < period-1, or, dense first,
	// when i mod period > 0; 0: every layer slides. A period or a list of
	// layers in the file overrides it.
	period     int64
	denseFirst bool
	// listed: the file must list the layers.
	listed bool
	// fixed: the file's pattern is not read.
	fixed   bool
	chunked bool
	// onlyLayers is the one number of layers for which there is a window.
	onlyLayers int64
}

// window reads the window, 0 for none.
func (r *windowRule) window(k *keys) int64 {
	const key = "attention.sliding_window"
	present := k.has(key)
	switch {
	case r.required && !present:
		return k.need(key)
	case !present:
		return max(r.def, 0)
	}
	w := k.int(key, 0)
	if w > 0 && r.force > 0 {
		return r.force
	}
	return w
}

// slides reports for each of n layers whether it slides.
func (r *windowRule) slides(k *keys, n, all int) []bool {
	const key = "attention.sliding_window_pattern"
	out := make([]bool, all)
	if list, ok := k.array(key, n); ok && !r.fixed {
		for i := range min(all, len(list)) {
			out[i] = list[i] != 0
		}
		return out
	}
	if r.listed {
		k.fail(key, "must list the layers for %s", printable(k.arch))
		return out
	}
	period := r.period
	if !r.fixed {
		period = k.int(key, period)
	}
	for i := range int64(n) {
		switch {
		case period == 0:
			out[i] = true
		case r.denseFirst:
			out[i] = i%period != 0
		default:
			out[i] = i%period < period-1
		}
	}
	return out
}

// windowSizes returns each layer's window, 0 for full attention.
func (b *builder) windowSizes() []int64 {
	out := make([]int64, b.all)
	r := b.fam.window
	if r == nil {
		if w := b.k.int("attention.sliding_window", 0); w > 0 {
			b.fact("sliding window", strconv.FormatInt(w, 10)+" in the file, but every layer keeps the full context",
				"llama.cpp does not use "+b.k.arch+".attention.sliding_window")
		}
		return out
	}
	w := r.window(&b.k)
	if w == 0 || r.onlyLayers > 0 && r.onlyLayers != int64(b.n) {
		return out
	}
	for i, slides := range r.slides(&b.k, b.n, b.all) {
		if slides {
			out[i] = w
		}
	}
	return out
}
