package lookup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// The published parameter counts of Stable Diffusion 1.5's parts (diffusers'
// num_parameters) and of its two single files' sizes.
const (
	sdUNet = 859_520_964
	sdVAE  = 83_653_863
	sdText = 123_060_480
	// unet/diffusion_pytorch_model.fp16.safetensors has 1,719,125,304 bytes,
	// 83,368 of them header.
	sdUNetHalf = 1_719_041_928
)

const sdIndex = `{"_class_name":"StableDiffusionPipeline","_diffusers_version":"0.30.0",
"feature_extractor":["transformers","CLIPImageProcessor"],"image_encoder":[null,null],"requires_safety_checker":true,
"safety_checker":["stable_diffusion","StableDiffusionSafetyChecker"],"scheduler":["diffusers","PNDMScheduler"],
"text_encoder":["transformers","CLIPTextModel"],"tokenizer":["transformers","CLIPTokenizer"],
"unet":["diffusers","UNet2DConditionModel"],"vae":["diffusers","AutoencoderKL"]}`

// stableDiffusion writes the pipeline with one tensor for each part; a vector
// is all that its counts need.
func stableDiffusion(t *testing.T) string {
	dir := t.TempDir()
	put(t, filepath.Join(dir, pipelineIndex), sdIndex)
	sparse(t, filepath.Join(dir, "unet/diffusion_pytorch_model.safetensors"), []stored{{"w", "F32", []int64{sdUNet}}})
	sparse(t, filepath.Join(dir, "unet/diffusion_pytorch_model.fp16.safetensors"), []stored{{"w", "F16", []int64{sdUNet}}})
	sparse(t, filepath.Join(dir, "unet/diffusion_pytorch_model.non_ema.safetensors"), []stored{{"w", "F32", []int64{sdUNet}}})
	sparse(t, filepath.Join(dir, "vae/diffusion_pytorch_model.fp16.safetensors"), []stored{{"w", "F16", []int64{sdVAE}}})
	sparse(t, filepath.Join(dir, "text_encoder/model-00001-of-00002.safetensors"), []stored{{"a", "F32", []int64{sdText - 59_136}}})
	sparse(t, filepath.Join(dir, "text_encoder/model-00002-of-00002.safetensors"), []stored{{"b", "F32", []int64{77, 768}}, {"position_ids", "I64", []int64{1, 77}}})
	put(t, filepath.Join(dir, "text_encoder/model.safetensors.index.json"),
		`{"metadata":{"total_size":1},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`)
	put(t, filepath.Join(dir, "scheduler/scheduler_config.json"), `{}`)
	return dir
}

func TestPipeline(t *testing.T) {
	dir := stableDiffusion(t)
	r, err := resolve(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Component{
		{Name: "safety_checker", Kind: KindSafetyChecker, Class: "StableDiffusionSafetyChecker"},
		{Name: "text_encoder", Kind: KindTextEncoder, Class: "CLIPTextModel", Parameters: sdText, Bytes: 4*sdText + 8*77},
		{Name: "unet", Kind: KindDenoiser, Class: "UNet2DConditionModel", Parameters: sdUNet, Bytes: 4 * sdUNet},
		{Name: "vae", Kind: KindVAE, Class: "AutoencoderKL", Parameters: sdVAE, Bytes: 2 * sdVAE},
	}
	if len(r.Components) != len(want) {
		t.Fatalf("components %+v", r.Components)
	}
	for i, w := range want {
		if c := r.Components[i]; c.Name != w.Name || c.Kind != w.Kind || c.Class != w.Class || c.Parameters != w.Parameters || c.Bytes != w.Bytes {
			t.Errorf("got %+v, want %+v", c, w)
		}
	}
	if got := r.Components[2].Details["variants"]; got != "fp16, non_ema" {
		t.Errorf("variants of unet: %q", got)
	}
	m := r.Model
	if m.Role != model.RolePipeline || len(m.Layers) != 0 || m.Causal || m.Architecture != "StableDiffusionPipeline" || m.Count().Total != sdUNet+sdVAE+sdText {
		t.Errorf("%+v", m.Count())
	}
	testPipelinePlan(t, m)
}

// testPipelinePlan: weights by part under the ideal engine, what is not known
// is said, and engines that run no pipelines refuse.
func testPipelinePlan(t *testing.T, m *model.Model) {
	t.Helper()
	two := engine.Hardware{Devices: slices.Repeat([]engine.Device{{Name: "x", Total: 2 << 30, Free: 2 << 30, Usable: 2 << 30}}, 2)}
	res, err := calc.Plan(calc.Request{Model: m, Hardware: two})
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]calc.Bytes{}
	for _, x := range res.Terms {
		parts[x.Name] = x.Bytes
	}
	if res.Engine != "ideal" || parts["weights: unet"] != 4*sdUNet || parts["weights: vae"] != 2*sdVAE || len(parts) != 3 || res.Totals.KVCache != 0 || res.Verdict != calc.DoesNotFit {
		t.Errorf("%s: %v, %s", res.Engine, parts, res.Verdict)
	}
	if len(res.Notes) < 2 {
		t.Errorf("notes %q", res.Notes)
	}
	// diffusers' own half-precision file of the same network.
	res, err = calc.Plan(calc.Request{Model: m, Load: engine.Load{Weights: "fp16"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range res.Terms {
		if x.Name == "weights: unet" && x.Bytes != sdUNetHalf {
			t.Errorf("half precision: %d bytes", x.Bytes)
		}
	}
	for _, name := range []string{"vllm", "llama.cpp", "ollama"} {
		_, err := calc.Plan(calc.Request{Model: m, Engine: name})
		if e := new(model.Error); !errors.As(err, &e) || e.Code != model.UnsupportedArchitecture || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBrokenPipelines(t *testing.T) {
	for name, remove := range map[string][]string{
		"no denoiser":  {"unet"},
		"part of it":   {"text_encoder/model-00002-of-00002.safetensors"},
		"no part left": {"unet", "vae", "text_encoder"},
	} {
		dir := stableDiffusion(t)
		for _, n := range remove {
			if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := resolve(dir); code(err) != model.MalformedFile {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, index := range []string{`[]`, `{}`, `{"_class_name":"X","../up":["a","B"]}`, `{"_class_name":"X","a/b":["a","B"]}`} {
		if _, err := resolve(dirWith(t, map[string][]byte{pipelineIndex: []byte(index)})); code(err) != model.MalformedFile {
			t.Errorf("%s: %v", index, err)
		}
	}
}

// A pipeline of the Hub is read from a tree that lists all folders.
func TestHubPipeline(t *testing.T) {
	s := &standIn{files: map[string][]byte{
		pipelineIndex: []byte(`{"_class_name":"FluxPipeline","transformer":["diffusers","FluxTransformer2DModel"],"vae":["diffusers","AutoencoderKL"],"text_encoder_2":["transformers","T5EncoderModel"]}`),
		"transformer/diffusion_pytorch_model.safetensors": safetensorsFile(tensors(2)),
		"vae/diffusion_pytorch_model.safetensors":         safetensorsFile(tensors(1)),
		"text_encoder_2/pytorch_model.bin":                make([]byte, 4096),
	}}
	s.start(t)
	r, err := Resolve(t.Context(), Request{Ref: "org/name"})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(r.Components[0].Kind, r.Components[1].Kind, r.Components[2].Kind, r.Components[0].Bytes)
	if len(r.Components) != 3 || got != fmt.Sprint(KindTextEncoder, KindDenoiser, KindVAE, 4096) || r.Components[1].Parameters != params {
		t.Errorf("%s: %+v", got, r.Components)
	}
	// A file without a header counts as it is stored, whatever is asked for.
	for _, weights := range []string{"auto", "bf16"} {
		res, err := calc.Plan(calc.Request{Model: r.Model, Load: engine.Load{Weights: weights}})
		if err != nil || res.Totals.Weights != 4096+calc.Bytes(r.Components[1].Bytes+r.Components[2].Bytes) {
			t.Errorf("%s: %+v, %v", weights, res, err)
		}
	}
}

func FuzzPipeline(f *testing.F) {
	f.Add([]byte(sdIndex))
	f.Add([]byte(`{"_class_name":"X","a":["b",null],"c":[null,"D"],"e":[1,2]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, parts, err := parsePipeline(raw)
		if err == nil && (!json.Valid(raw) || len(parts) > maxParts) {
			t.Errorf("%d parts of %q", len(parts), raw)
		}
		for _, p := range parts {
			if !partName(p.folder) {
				t.Errorf("folder %q", p.folder)
			}
		}
	})
}
