package lookup

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// array is one stored array: its name, safetensors' and NumPy's type, and its
// shape.
type array struct {
	name, dtype, descr string
	width              int
	shape              []int
}

func (a *array) bytes() int {
	n := a.width
	for _, d := range a.shape {
		n *= d
	}
	return n
}

// mlxArrays are those of a matrix as MLX stores it: packed words with a scale
// and a bias for each group, or as it is when bits is 0.
func mlxArrays(name string, bits, group int, shape ...int) []array {
	if bits == 0 {
		return []array{{name + ".weight", "BF16", "|V2", 2, shape}}
	}
	last := len(shape) - 1
	packed, groups := slices.Clone(shape), slices.Clone(shape)
	packed[last], groups[last] = shape[last]*bits/32, shape[last]/group
	return []array{{name + ".weight", "U32", "<u4", 4, packed}, {name + ".scales", "BF16", "|V2", 2, groups}, {name + ".biases", "BF16", "|V2", 2, groups}}
}

func safetensorsOf(arrays []array) []byte {
	header := map[string]map[string]any{}
	at := 0
	for i := range arrays {
		a := &arrays[i]
		header[a.name] = map[string]any{"dtype": a.dtype, "shape": a.shape, "data_offsets": []int{at, at + a.bytes()}}
		at += a.bytes()
	}
	text, _ := json.Marshal(header)
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(b, text...), make([]byte, at)...)
}

func npzOf(t *testing.T, arrays []array) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := range arrays {
		a := &arrays[i]
		w, err := z.CreateHeader(&zip.FileHeader{Name: a.name + ".npy", Method: uint16(i % 2 * int(zip.Deflate))})
		if err != nil {
			t.Fatal(err)
		}
		var dims string
		for _, d := range a.shape {
			dims += fmt.Sprintf("%d, ", d)
		}
		text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s)}\n", a.descr, dims)
		b := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(text)))
		if _, err := w.Write(append(append(b, text...), make([]byte, a.bytes())...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The Llama of the other tests as MLX stores it: 4 bits in groups of 64, its
// embedding with 8, k_proj of layer 1 as it was and v_proj in groups of 32.
const mlxLlama = `,"quantization":{"group_size":64,"bits":4,"mode":"affine","model.embed_tokens":{"group_size":64,"bits":8},"model.layers.1.self_attn.k_proj":false,"model.layers.1.self_attn.v_proj":{"group_size":32,"bits":4},"lm_head":false}}`

func mlxLlamaConfig() string { return strings.TrimSuffix(llama, "}") + mlxLlama }

func mlxLlamaArrays() []array {
	var out []array
	for _, x := range tensors(2) {
		name := strings.TrimSuffix(x[0].(string), ".weight")
		out = append(out, func() []array {
			switch shape := []int{x[1].(int), x[2].(int)}; {
			case strings.HasSuffix(name, "norm"):
				return []array{{name + ".weight", "BF16", "bfloat16", 2, []int{64}}}
			case name == "model.embed_tokens":
				return mlxArrays(name, 8, 64, shape...)
			case name == "model.layers.1.self_attn.k_proj", name == "lm_head":
				return mlxArrays(name, 0, 0, shape...)
			case name == "model.layers.1.self_attn.v_proj":
				return mlxArrays(name, 4, 32, shape...)
			default:
				return mlxArrays(name, 4, 64, shape...)
			}
		}()...)
	}
	return out
}

// mlxLlamaBytes counts by hand: a weight of 4 bits in groups of 64 takes 36
// bytes of 64, of 8 bits 68, in groups of 32 it takes 40.
const mlxLlamaBytes = 100*68 + 100*64*2 + 5*64*2 + // embedding, head, norms
	2*(64+64+128+128)*36 + 2*64*2*36 + // q, o, gate, up; down has rows of 128
	(32+32)*36 + 32*64*2 + 32*40 // k and v of both layers

// TestMLXForms: the configuration alone, safetensors and archives of arrays
// give the same bytes, which are those of the files' tensors.
func TestMLXForms(t *testing.T) {
	arrays := mlxLlamaArrays()
	config := []byte(mlxLlamaConfig())
	for name, files := range map[string]map[string][]byte{
		"configuration":    {},
		"safetensors":      {"model.safetensors": safetensorsOf(arrays)},
		"one archive":      {"weights.npz": npzOf(t, arrays)},
		"several archives": {"weights.00.npz": npzOf(t, arrays[:7]), "weights.01.npz": npzOf(t, arrays[7:])},
	} {
		files["config.json"] = config
		dir := dirWith(t, files)
		r, err := resolve("mlx:" + dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, err := quant.AsStored(r.Model)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := s.Assign(r.Model)
		if err != nil {
			t.Fatal(err)
		}
		if got := quant.Sum(stored); got != mlxLlamaBytes || r.Model.Count().Total != params {
			t.Errorf("%s: %d bytes of %d parameters, want %d of %d", name, got, r.Model.Count().Total, mlxLlamaBytes, params)
		}
		if exact := len(files) > 1; r.Model.Exact != exact || exact && r.StoredBytes != mlxLlamaBytes || r.ResolvedFrom != "mlx" {
			t.Errorf("%s: exact %v, %d bytes stored, from %s", name, r.Model.Exact, r.StoredBytes, r.ResolvedFrom)
		}
	}
	dir := dirWith(t, map[string][]byte{"config.json": config, "weights.00.npz": npzOf(t, arrays), "weights.02.npz": npzOf(t, nil)})
	if _, err := resolve("mlx:" + dir); code(err) != model.MalformedFile || !strings.Contains(err.Error(), "number 1") {
		t.Errorf("an archive that is missing: %v", err)
	}
	dir = dirWith(t, map[string][]byte{"config.json": config, "weights.npz": []byte("PK not really")})
	if _, err := resolve("mlx:" + filepath.Join(dir, "config.json")); code(err) != model.MalformedFile || !strings.Contains(err.Error(), "weights.npz") {
		t.Errorf("no archive: %v", err)
	}
}

// TestMLXExperts: the stacked experts of MLX's own names are experts, not
// tensors that nobody knows.
func TestMLXExperts(t *testing.T) {
	const config = `{"architectures":["Qwen3MoeForCausalLM"],"model_type":"qwen3_moe","hidden_size":64,"intermediate_size":128,"moe_intermediate_size":64,"num_experts":4,"num_experts_per_tok":2,"num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,"vocab_size":100,"max_position_embeddings":2048,"torch_dtype":"bfloat16","tie_word_embeddings":true,"quantization":{"group_size":64,"bits":4,"model.layers.0.mlp.gate":{"group_size":64,"bits":8}}}`
	l := "model.layers.0."
	arrays := slices.Concat(mlxArrays("model.embed_tokens", 4, 64, 100, 64), mlxArrays("model.norm", 0, 0, 64),
		mlxArrays(l+"input_layernorm", 0, 0, 64), mlxArrays(l+"post_attention_layernorm", 0, 0, 64), mlxArrays(l+"self_attn.q_norm", 0, 0, 16), mlxArrays(l+"self_attn.k_norm", 0, 0, 16),
		mlxArrays(l+"self_attn.q_proj", 4, 64, 64, 64), mlxArrays(l+"self_attn.k_proj", 4, 64, 32, 64), mlxArrays(l+"self_attn.v_proj", 4, 64, 32, 64), mlxArrays(l+"self_attn.o_proj", 4, 64, 64, 64),
		mlxArrays(l+"mlp.gate", 8, 64, 4, 64), mlxArrays(l+"mlp.switch_mlp.gate_proj", 4, 64, 4, 64, 64), mlxArrays(l+"mlp.switch_mlp.up_proj", 4, 64, 4, 64, 64), mlxArrays(l+"mlp.switch_mlp.down_proj", 4, 64, 4, 64, 64))
	alone, err := resolve("mlx:" + dirWith(t, map[string][]byte{"config.json": []byte(config)}))
	if err != nil {
		t.Fatal(err)
	}
	s, err := quant.AsStored(alone.Model)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := s.Assign(alone.Model)
	if err != nil {
		t.Fatal(err)
	}
	r, err := resolve("mlx:" + dirWith(t, map[string][]byte{"config.json": []byte(config), "model.safetensors": safetensorsOf(arrays)}))
	if err != nil {
		t.Fatal(err)
	}
	var experts int64
	for i := range r.Model.Tensors {
		if r.Model.Tensors[i].Part == model.Expert {
			experts += r.Model.Tensors[i].Bytes
		}
	}
	// 3 × 4 matrices of 64 rows of 36 bytes; beside them embedding, attention,
	// router and norms.
	const all = 12*64*36 + 100*36 + 192*36 + 4*68 + (3*64+32)*2
	if experts != 12*64*36 || r.StoredBytes != all || quant.Sum(stored) != all {
		t.Errorf("%d bytes of experts, %d by headers and %d by the configuration, want %d of %d", experts, r.StoredBytes, quant.Sum(stored), 12*64*36, all)
	}
}

// TestMLXReferences: names mean repositories of the Hub, resolved as hf: is.
func TestMLXReferences(t *testing.T) {
	s := &standIn{files: map[string][]byte{"config.json": []byte(mlxLlamaConfig()), "weights.npz": {1}}}
	s.start(t)
	r, err := Resolve(context.Background(), Request{Ref: "mlx:org/name"})
	if err != nil || r.ResolvedFrom != "hub" || r.Model.Quant == nil || r.Model.Exact || !hasFact(r, "weights", "weights.npz") {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = Resolve(context.Background(), Request{Ref: "mlx:some-model-4bit"})
	if code(err) != model.Denied || !strings.Contains(err.Error(), "mlx-community/some-model-4bit") {
		t.Errorf("a bare name: %v", err)
	}
	for _, ref := range []string{"mlx:", "mlx:a/b/c", "mlx:a:b", "mlx:org/name:Q4_K_M", "mlx:org/x.gguf/y"} {
		_, err := resolve(ref)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.InvalidArgument || e.Hint == "" {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := resolve("mlx:./no-such-dir"); code(err) != model.ModelNotFound {
		t.Errorf("no directory: %v", err)
	}
}
