package tools

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// vectorFile writes a safetensors file of one float16 vector with a hole for
// its data.
func vectorFile(t *testing.T, path string, n int64) {
	t.Helper()
	text := fmt.Sprintf(`{"w":{"dtype":"F16","shape":[%d],"data_offsets":[0,%d]}}`, n, 2*n)
	file(t, path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), int64(8+len(text))+2*n)
}

func file(t *testing.T, path string, b []byte, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// Stable Diffusion 1.5 in half precision, by the counts that diffusers prints:
// lookup_model lists its parts, plan_memory sizes them one by one.
func TestPipelineAnswers(t *testing.T) {
	dir := t.TempDir()
	index := []byte(`{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet2DConditionModel"],"vae":["diffusers","AutoencoderKL"],"text_encoder":["transformers","CLIPTextModel"],"scheduler":["diffusers","PNDMScheduler"]}`)
	file(t, filepath.Join(dir, "model_index.json"), index, int64(len(index)))
	vectorFile(t, filepath.Join(dir, "unet/diffusion_pytorch_model.safetensors"), 859_520_964)
	vectorFile(t, filepath.Join(dir, "vae/diffusion_pytorch_model.safetensors"), 83_653_863)
	vectorFile(t, filepath.Join(dir, "text_encoder/model.safetensors"), 123_060_480)
	const total = 859_520_964 + 83_653_863 + 123_060_480

	s := newSurface(t, Options{})
	args, _ := json.Marshal(map[string]any{"model": dir})
	r := s.Call(t.Context(), "lookup_model", args)
	info, ok := r.Answer.(*ModelInfo)
	if !ok {
		t.Fatalf("%s", r.Structured)
	}
	conforms(t, s, "lookup_model", r.Structured)
	if info.ParametersTotal != total || info.StoredBytes != 2*total || len(info.Components) != 3 || !strings.Contains(r.Text, "Components: text_encoder 123.1 M (234.7 MiB), denoiser unet 859.5 M") {
		t.Errorf("%+v\n%s", info.Components, r.Text)
	}
	for _, hardware := range []string{"", "RTX 4090", "2x RTX 4090", "1GB"} {
		args, _ := json.Marshal(map[string]any{"model": dir, "hardware": hardware})
		if hardware == "" {
			args, _ = json.Marshal(map[string]any{"model": dir})
		}
		r := s.Call(t.Context(), "plan_memory", args)
		p, ok := r.Answer.(*Plan)
		if !ok {
			t.Fatalf("%s: %s", hardware, r.Structured)
		}
		conforms(t, s, "plan_memory", r.Structured)
		if p.Totals.Required != 2*total || p.Totals.KVCache != 0 || len(p.Terms) != 3 || !strings.Contains(r.Text, "no KV cache: a diffusion pipeline") || strings.Contains(r.Text, "tokens") {
			t.Errorf("%q: %d bytes\n%s", hardware, p.Totals.Required, r.Text)
		}
		for _, x := range p.Suggestions {
			if _, ok := x.Arguments["context_tokens"]; ok {
				t.Errorf("%q: a shorter context for a pipeline: %+v", hardware, x)
			}
		}
	}
	args, _ = json.Marshal(map[string]any{"model": dir, "engine": "vllm"})
	if r := s.Call(t.Context(), "plan_memory", args); !r.Failed || !strings.Contains(string(r.Structured), `"unsupported_architecture"`) {
		t.Errorf("under vLLM: %s", r.Structured)
	}
}

// A projector is described, and refused as a model with the reason.
func TestProjectorAnswers(t *testing.T) {
	f := &ggufgen.File{}
	f.Set("general.architecture", "clip").Set("general.type", "mmproj").Set("clip.projector_type", "mlp")
	f.Add("mm.0.weight", ggml.F16, 1024, 4096).Add("mm.0.bias", ggml.F32, 4096)
	path := filepath.Join(t.TempDir(), "mmproj-F16.gguf")
	if err := f.WriteSparse(path); err != nil {
		t.Fatal(err)
	}
	s := newSurface(t, Options{})
	args, _ := json.Marshal(map[string]any{"model": path})
	r := s.Call(t.Context(), "lookup_model", args)
	if r.Failed || !strings.Contains(r.Text, "This is a projector") {
		t.Errorf("%s", r.Text)
	}
	conforms(t, s, "lookup_model", r.Structured)
	for _, engine := range []string{"ideal", "llama.cpp", "vllm"} {
		args, _ := json.Marshal(map[string]any{"model": path, "engine": engine})
		r := s.Call(t.Context(), "plan_memory", args)
		if text := string(r.Structured); !r.Failed || !strings.Contains(text, "unsupported_architecture") || !strings.Contains(text, "language model's file") {
			t.Errorf("%s: %s", engine, text)
		}
	}
}

// What a place sets for a model, and components, reach the answer.
func TestSettingsReachTheAnswer(t *testing.T) {
	m := &model.Model{Type: "llama"}
	info := modelInfo(&lookup.Result{
		Model: m, Settings: map[string]string{"num_ctx": "4096"},
		Components: []lookup.Component{{Name: "adapter", Kind: lookup.KindAdapter, Class: "LORA", Parameters: 4_194_304, Bytes: 16_777_216, Files: []lookup.File{{Path: "a", Bytes: 1, Role: "weights"}}}},
	}, "summary")
	if info.Settings["num_ctx"] != "4096" || info.Components[0].Files[0].Path != "a" || !strings.Contains(info.Text(), "Components: adapter 4.2 M (16.0 MiB).") {
		t.Errorf("%+v\n%s", info, info.Text())
	}
}
