package lookup

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// stored is one tensor of a safetensors file to write.
type stored struct {
	name, dtype string
	shape       []int64
}

var widths = map[string]int64{"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "BOOL": 1, "U8": 1}

// sparse writes a safetensors file with a hole for its data.
func sparse(t *testing.T, path string, tensors []stored) {
	t.Helper()
	type info struct {
		DType   string   `json:"dtype"`
		Shape   []int64  `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]info{}
	var at int64
	for _, x := range tensors {
		n := widths[x.dtype]
		for _, d := range x.shape {
			n *= d
		}
		header[x.name] = info{x.dtype, x.shape, [2]int64{at, at + n}}
		at += n
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(b))+at); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lora are the tensors of an adapter on square projections.
func lora(layers int, width, rank int64, targets ...string) []stored {
	var out []stored
	for i := range layers {
		for _, m := range targets {
			p := fmt.Sprintf("base_model.model.model.layers.%d.self_attn.%s.", i, m)
			out = append(out, stored{p + "lora_A.weight", "F32", []int64{rank, width}}, stored{p + "lora_B.weight", "F32", []int64{width, rank}})
		}
	}
	return out
}

// PEFT prints "trainable params: 4194304" for LLaMA-7B with r=8 on q_proj and
// v_proj, its documentation's example.
func TestAdapter(t *testing.T) {
	config := `{"base_model_name_or_path":%q,"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["v_proj","q_proj"],"task_type":"CAUSAL_LM","modules_to_save":null}`
	for _, c := range []struct {
		base  string
		role  model.Role
		total int64
	}{
		{"meta-llama/Llama-3.1-8B", "", 8_030_261_248}, // published with the weights
		{"somebody/private-base", model.RoleAdapter, 4_194_304},
		{"/etc/models/base", model.RoleAdapter, 4_194_304},
		{"", model.RoleAdapter, 4_194_304},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, adapterConfig), fmt.Sprintf(config, c.base))
		sparse(t, filepath.Join(dir, adapterWeights), lora(32, 4096, 8, "q_proj", "v_proj"))
		r, err := resolve(dir)
		if err != nil {
			t.Fatalf("%s: %v", c.base, err)
		}
		if r.Model.Role != c.role || r.Model.Count().Total != c.total || len(r.Components) != 1 || r.Reference != dir {
			t.Fatalf("%s: role %q, %d parameters, %d components", c.base, r.Model.Role, r.Model.Count().Total, len(r.Components))
		}
		a := r.Components[0]
		if a.Kind != KindAdapter || a.Class != "LORA" || a.Parameters != 4_194_304 || a.Bytes != 4*4_194_304 || a.ByDType["F32"] != a.Bytes {
			t.Errorf("%s: %+v", c.base, a)
		}
		if d := a.Details; d["r"] != "8" || d["lora_alpha"] != "16" || d["target_modules"] != "q_proj, v_proj" || d["base_model_name_or_path"] != c.base {
			t.Errorf("%s: %v", c.base, a.Details)
		}
		if said := fmt.Sprint(r.Provenance); !strings.Contains(said, "base_model") {
			t.Errorf("%s: the base is not named: %s", c.base, said)
		}
		// Facts must come once.
		seen := map[model.Fact]bool{}
		for _, f := range r.Provenance {
			if seen[f] {
				t.Errorf("%s: %v comes twice", c.base, f)
			}
			seen[f] = true
		}
	}
}

// An adapter beside a full model is a component of it.
func TestAdapterBeside(t *testing.T) {
	dir := dirWith(t, map[string][]byte{"config.json": []byte(llama), "model.safetensors": safetensorsFile(tensors(2)), adapterConfig: []byte(`{"peft_type":"LORA","r":4,"target_modules":"all-linear"}`)})
	sparse(t, filepath.Join(dir, adapterWeights), lora(2, 64, 4, "q_proj"))
	r, err := resolve(dir)
	if err != nil || len(r.Components) != 1 || r.Model.Count().Total != params {
		t.Fatalf("%+v, %v", r, err)
	}
	if c := r.Components[0]; c.Parameters != 2*2*4*64 || c.Details["target_modules"] != "all-linear" {
		t.Errorf("%+v", c)
	}
}

// The files of an adapter and of a pipeline stand for the whole.
func TestNamedFiles(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, adapterConfig), `{"peft_type":"LORA","r":8}`)
	sparse(t, filepath.Join(dir, adapterWeights), lora(1, 64, 8, "q_proj"))
	pipeline := stableDiffusion(t)
	for ref, role := range map[string]model.Role{
		filepath.Join(dir, adapterConfig): model.RoleAdapter, filepath.Join(dir, adapterWeights): model.RoleAdapter,
		filepath.Join(pipeline, pipelineIndex): model.RolePipeline,
	} {
		if r, err := resolve(ref); err != nil || r.Model.Role != role {
			t.Errorf("%s: %+v, %v", ref, r, err)
		}
	}
}

func TestGGUFAdapter(t *testing.T) {
	f := &ggufgen.File{}
	f.Set("general.architecture", "llama").Set("general.type", "adapter").Set("adapter.type", "lora").Set("adapter.lora.alpha", float32(32))
	f.Set("general.base_model.0.repo_url", "https://huggingface.co/meta-llama/Llama-3.1-8B")
	for i := range 32 {
		p := fmt.Sprintf("blk.%d.attn_q.weight.lora_", i)
		f.Add(p+"a", ggml.F32, 4096, 16).Add(p+"b", ggml.F32, 16, 4096)
	}
	path := filepath.Join(t.TempDir(), "lora.gguf")
	write(t, path, f)
	r, err := resolve(path)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Components[0]
	if r.Model.Count().Total != 8_030_261_248 || c.Parameters != 32*2*16*4096 || c.Details["r"] != "16" || c.Details["lora_alpha"] != "32" || c.Details["target_modules"] != "attn_q" || c.Class != "LORA" {
		t.Errorf("%d parameters, %+v", r.Model.Count().Total, c)
	}
}

func TestBadAdapters(t *testing.T) {
	for name, files := range map[string]map[string][]byte{
		"no method":  {adapterConfig: []byte(`{"r":8}`)},
		"no object":  {adapterConfig: []byte(`[]`)},
		"no weights": {adapterConfig: []byte(`{"peft_type":"LORA"}`)},
	} {
		if _, err := resolve(dirWith(t, files)); code(err) != model.MalformedFile {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An adapter whose base is itself, or a chain of adapters, ends.
func TestAdapterLoop(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, adapterConfig), fmt.Sprintf(`{"base_model_name_or_path":%q,"peft_type":"LORA"}`, dir))
	sparse(t, filepath.Join(dir, adapterWeights), lora(1, 8, 2, "q_proj"))
	r, err := resolve(dir)
	if err != nil || r.Model.Role != model.RoleAdapter || len(r.Components) > maxBases+2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzAdapterConfig(f *testing.F) {
	f.Add([]byte(`{"peft_type":"LORA","r":8,"lora_alpha":1e3,"target_modules":["a"]}`))
	f.Add([]byte(`{"peft_type":"LORA","r":"x","target_modules":{"a":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parsePEFT(raw)
		if err == nil {
			var c Component
			p.describe(&c)
		}
	})
}
