package lookup

import (
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
)

// maxProjectors is the most projector files beside one model whose headers are
// read.
const maxProjectors = 16

// isProjector reports whether a GGUF file is a projector by its name, as
// llama.cpp's downloader tells them apart.
func isProjector(name string) bool {
	low := strings.ToLower(path.Base(name))
	return strings.Contains(low, "mmproj") && strings.HasSuffix(low, ".gguf")
}

// addProjectors adds the projector files that lie beside a GGUF model. Their
// headers are read; one that cannot be is noted and left out.
func addProjectors(ctx context.Context, r *Result, t tree, modelFile string) error {
	all, err := t.files(ctx)
	if err != nil {
		return err
	}
	names := projectorFiles(all)
	names = slices.DeleteFunc(names, func(n string) bool { return !t.has(ctx, n) })
	names = names[:min(len(names), maxProjectors)]
	chosen := nearest(names, modelFile)
	found := make([]*Component, len(names))
	failed := make([]error, len(names))
	err = each(ctx, len(names), func(ctx context.Context, i int) error {
		h, size, err := readGGUF(ctx, t, names[i])
		if err == nil && h.Kind() != gguf.KindProjector {
			err = errors.New("it holds something else than a projector")
		}
		if err != nil {
			failed[i] = err
			return ctx.Err()
		}
		found[i] = projector(h, names[i], t.path(names[i]), size)
		return nil
	})
	if err != nil {
		return err
	}
	for i, c := range found {
		if c == nil {
			r.Provenance = append(r.Provenance, fact("projector", names[i], "cannot be read: "+failed[i].Error()))
			continue
		}
		c.Chosen = names[i] == chosen
		r.Components = append(r.Components, *c)
	}
	if len(r.Components) > 0 {
		r.Model = withTowers(r.Model)
	}
	return nil
}

// projectorFiles returns the names of the projectors among files.
func projectorFiles(files []entry) []string {
	var out []string
	for _, e := range files {
		if isProjector(e.name) {
			out = append(out, e.name)
		}
	}
	slices.Sort(out)
	return out
}

// withTowers returns m marked as multimodal. A model is shared once it is
// described, so a changed one is a copy.
func withTowers(m *model.Model) *model.Model {
	x := *m
	x.Multimodal = true
	return &x
}

// projector describes a projector by its header.
func projector(h *gguf.Header, name, path string, size int64) *Component {
	c := &Component{Name: name, Kind: KindProjector, Class: projectorClass(h)}
	c.addGGUF(h, path, size)
	for _, key := range [...]string{"general.name", "clip.vision.image_size", "clip.vision.patch_size", "clip.vision.projection_dim", "clip.audio.num_mel_bins"} {
		v, ok := h.KV[key]
		if !ok {
			continue
		}
		if s, isText := v.Text(); isText {
			c.detail(key, s)
		} else if n, fits := v.Int(); fits {
			c.detail(key, strconv.FormatInt(n, 10))
		}
	}
	return c
}

// projectorClass returns the projector's type: one for the file, or one for
// each tower.
func projectorClass(h *gguf.Header) string {
	if s := h.Text("clip.projector_type"); s != "" {
		return Clean(s, MaxText)
	}
	var both []string
	for _, tower := range [...]string{"vision", "audio"} {
		if s := h.Text("clip." + tower + ".projector_type"); s != "" {
			both = append(both, s)
		}
	}
	return Clean(strings.Join(both, "+"), MaxText)
}

// nearest returns the projector that llama.cpp takes for a model of the same
// repository: that in the deepest folder on the model's path, of those the one
// whose name says a number of bits nearest to the model's, of those the first.
// (common/download.cpp find_best_sibling)
func nearest(names []string, modelFile string) string {
	best, depth, apart := "", -1, 0
	folder := path.Dir(modelFile)
	for _, n := range names {
		d := path.Dir(n)
		if d != "." && d != folder && !strings.HasPrefix(folder, d+"/") {
			continue
		}
		deep := 0
		if d != "." {
			deep = 1 + strings.Count(d, "/")
		}
		off := nameBits(n) - nameBits(modelFile)
		off = max(off, -off)
		if deep > depth || deep == depth && off < apart {
			best, depth, apart = n, deep, off
		}
	}
	return best
}

// nameBits returns the first number in the quantization at the end of a file's
// name: 4 for Q4_K_M, 16 for BF16; 0 when there is none.
func nameBits(name string) int {
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	if i := strings.LastIndex(stem, "-of-"); i > len("-00001") && len(stem) == i+len("-of-00001") {
		stem = stem[:i-len("-00001")]
	}
	tag := stem[strings.LastIndexAny(stem, "-.")+1:]
	n := 0
	for _, c := range []byte(tag) {
		if c >= '0' && c <= '9' {
			n = min(n*10+int(c-'0'), 1000)
		} else if n > 0 {
			break
		}
	}
	return n
}

// part describes a GGUF file that holds something other than a model, or
// returns nil when it holds one (or what no part can be).
func part(ctx context.Context, t tree, h *gguf.Header, name string, size int64) (*Result, error) {
	switch h.Kind() {
	case gguf.KindProjector:
		c := projector(h, path.Base(name), t.path(name), size)
		c.Chosen = true
		r := c.alone(model.RoleProjector, "clip", model.FormatGGUF, ggufTensors(h, model.Vision))
		r.Model.Name, r.Model.Multimodal = h.Text("general.name"), true
		r.Provenance = append(r.Provenance, fact("role", "projector", "general.type or general.architecture of the GGUF header: it runs beside a language model, not on its own"))
		return r, nil
	case gguf.KindAdapter:
		return ggufAdapter(ctx, t, h, name, size)
	case gguf.KindDraft:
		c := &Component{Name: path.Base(name), Kind: KindDraft, Class: Clean(h.Architecture(), MaxText)}
		c.addGGUF(h, t.path(name), size)
		r := c.alone(model.RoleDraft, h.Architecture(), model.FormatGGUF, ggufTensors(h, model.Text))
		r.Provenance = append(r.Provenance, fact("role", "draft model", "general.architecture: llama.cpp runs it inside a target model"))
		return r, nil
	}
	return nil, nil
}
