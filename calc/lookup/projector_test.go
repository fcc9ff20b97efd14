package lookup

import (
	"path/filepath"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// projectorFile is LLaVA-1.5-7B's projector as llama.cpp's converter writes
// it: CLIP ViT-L/14 at 336 pixels without its last layer and post-norm, and
// two matrices to a model of width 4096. Its published F16 file has
// 624,434,368 bytes.
func projectorFile(t ggml.Type) *ggufgen.File {
	f := &ggufgen.File{}
	f.Set("general.architecture", "clip").Set("general.type", "mmproj").Set("clip.projector_type", "mlp").Set("clip.vision.image_size", 336)
	const d, ff = 1024, 4096
	f.Add("v.class_embd", ggml.F32, d).Add("v.patch_embd.weight", t, 14, 14, 3, d).Add("v.position_embd.weight", t, d, 577)
	f.Add("v.pre_ln.weight", ggml.F32, d).Add("v.pre_ln.bias", ggml.F32, d)
	for i := range 23 {
		p := "v.blk." + string(rune('a'+i)) + "."
		for _, n := range []string{"ln1", "ln2"} {
			f.Add(p+n+".weight", ggml.F32, d).Add(p+n+".bias", ggml.F32, d)
		}
		for _, n := range []string{"attn_q", "attn_k", "attn_v", "attn_out"} {
			f.Add(p+n+".weight", t, d, d).Add(p+n+".bias", ggml.F32, d)
		}
		f.Add(p+"ffn_up.weight", t, d, ff).Add(p+"ffn_up.bias", ggml.F32, ff).Add(p+"ffn_down.weight", t, ff, d).Add(p+"ffn_down.bias", ggml.F32, d)
	}
	return f.Add("mm.0.weight", t, d, 4096).Add("mm.0.bias", ggml.F32, 4096).Add("mm.2.weight", t, 4096, 4096).Add("mm.2.bias", ggml.F32, 4096)
}

// llavaProjector is the size of the published mmproj-model-f16.gguf, whose
// header and padding are less than 32 KiB of it.
const llavaProjector = 624_434_368

func TestProjectors(t *testing.T) {
	f, bytes, params := reported(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "model-Q4_K_M.gguf"), f)
	for name, typ := range map[string]ggml.Type{"mmproj-BF16.gguf": ggml.BF16, "mmproj-F16.gguf": ggml.F16, "mmproj-F32.gguf": ggml.F32} {
		write(t, filepath.Join(dir, name), projectorFile(typ))
	}
	r, err := resolve(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.StoredBytes != bytes || r.Model.Count().Total != params || !r.Model.Multimodal {
		t.Errorf("the model: %d bytes, %d parameters, multimodal %v", r.StoredBytes, r.Model.Count().Total, r.Model.Multimodal)
	}
	if len(r.Components) != 3 {
		t.Fatalf("%d components", len(r.Components))
	}
	for i, c := range r.Components {
		name := []string{"mmproj-BF16.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"}[i]
		if c.Name != name || c.Kind != KindProjector || c.Class != "mlp" || c.Chosen != (i == 0) {
			t.Errorf("%d: %+v", i, c)
		}
		if i < 2 && (c.Bytes > llavaProjector || c.Bytes < llavaProjector-32<<10) {
			t.Errorf("%s: %d bytes", name, c.Bytes)
		}
	}
	if a, b := r.Components[0].Parameters, r.Components[2].Parameters; a != b {
		t.Errorf("parameters %d and %d", a, b)
	}
}

func TestProjectorAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mmproj-F16.gguf")
	write(t, path, projectorFile(ggml.F16))
	for _, ref := range []string{path, dir} {
		r, err := resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		if r.Model.Role != model.RoleProjector || len(r.Components) != 1 || r.Model.Count().Total != r.Components[0].Parameters || r.StoredBytes > llavaProjector {
			t.Errorf("%s: %+v", ref, r)
		}
	}
}

// Which projector llama.cpp takes: deepest folder on the model's path, nearest
// number of bits, first.
func TestNearestProjector(t *testing.T) {
	for _, c := range []struct {
		model string
		names []string
		want  string
	}{
		{"m-Q4_K_M.gguf", []string{"mmproj-BF16.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"}, "mmproj-BF16.gguf"},
		{"m-Q8_0.gguf", []string{"mmproj-f16.gguf", "mmproj-q8_0.gguf"}, "mmproj-q8_0.gguf"},
		{"m-F32.gguf", []string{"mmproj-F16.gguf", "mmproj-F32.gguf"}, "mmproj-F32.gguf"},
		{"Q4/m-Q4_K_M-00001-of-00002.gguf", []string{"Q4/mmproj-F32.gguf", "mmproj-F16.gguf"}, "Q4/mmproj-F32.gguf"},
		{"Q4/m-Q4_K_M.gguf", []string{"Q8/mmproj-F16.gguf"}, ""},
		{"m.gguf", nil, ""},
	} {
		if got := nearest(c.names, c.model); got != c.want {
			t.Errorf("%s takes %q, want %q", c.model, got, c.want)
		}
	}
}
