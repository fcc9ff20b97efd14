package tools

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// export calls export_launch.
func export(t *testing.T, args map[string]any) *LaunchCommand {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	r := newSurface(t, Options{}).Call(t.Context(), "export_launch", raw)
	c, ok := r.Answer.(*LaunchCommand)
	if !ok {
		t.Fatalf("%s: %s", raw, r.Text)
	}
	return c
}

// composeFile is what of the Compose Specification the export writes.
type composeFile struct {
	Services map[string]struct {
		Image       string         `yaml:"image"`
		Ports       []string       `yaml:"ports"`
		Environment map[string]any `yaml:"environment"`
		Entrypoint  []string       `yaml:"entrypoint"`
		Command     []string       `yaml:"command"`
		Volumes     []any          `yaml:"volumes"`
		Configs     []struct{ Source, Target string }
		IPC         string   `yaml:"ipc"`
		Devices     []string `yaml:"devices"`
		GroupAdd    []string `yaml:"group_add"`
		SecurityOpt []string `yaml:"security_opt"`
		Deploy      *struct {
			Resources struct {
				Reservations struct {
					Devices []struct {
						Driver       string
						Count        string
						Capabilities []string
					}
				}
			}
		} `yaml:"deploy"`
	} `yaml:"services"`
	Configs map[string]struct{ Content string } `yaml:"configs"`
}

func parseCompose(t *testing.T, text string) composeFile {
	t.Helper()
	var f composeFile
	if err := yaml.UnmarshalWithOptions([]byte(text), &f, yaml.Strict()); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// plainly undoes the doubling that keeps compose from interpolating.
func plainly(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ReplaceAll(w, "$$", "$")
	}
	return out
}

func TestComposeByEngine(t *testing.T) {
	for _, c := range []struct {
		engine, hardware, image string
		devices                 string
		entrypoint              string
	}{
		{"vllm", "2x H100-80GB", "vllm/vllm-openai:latest", "nvidia", "vllm"},
		{"vllm", "MI300X", "vllm/vllm-openai-rocm:latest", "amd", "vllm"},
		{"vllm", "Arc B580", "vllm/vllm-openai-xpu:latest", "intel", "vllm"},
		{"sglang", "H100-80GB", "lmsysorg/sglang:latest", "nvidia", "python3"},
		{"tgi", "H100-80GB", "ghcr.io/huggingface/text-generation-inference:3.3.7", "nvidia", "text-generation-launcher"},
		{"tgi", "MI300X", "ghcr.io/huggingface/text-generation-inference:3.3.7-rocm", "amd", "text-generation-launcher"},
		{"tensorrt-llm", "H100-80GB", "nvcr.io/nvidia/tensorrt-llm/release:1.3.0", "nvidia", "trtllm-serve"},
		{"mistral.rs", "H100-80GB", "ghcr.io/ericlbuehler/mistral.rs:cuda-sm90-latest", "nvidia", "mistralrs"},
		{"llama.cpp", "RTX 4090", "ghcr.io/ggml-org/llama.cpp:server-cuda", "nvidia", "/app/llama-server"},
		{"llama.cpp", "MI300X", "ghcr.io/ggml-org/llama.cpp:server-rocm", "amd", "/app/llama-server"},
		{"ollama", "RTX 4090", "ollama/ollama", "nvidia", "ollama"},
	} {
		out := export(t, map[string]any{"model": "catalog:Qwen/Qwen3-8B", "engine": c.engine, "hardware": c.hardware, "format": "compose", "port": 8123})
		f := parseCompose(t, out.Content)
		s := f.Services["model"]
		if s.Image != c.image || !slices.Equal(s.Ports, []string{"127.0.0.1:8123:8123"}) || !slices.Equal(s.Entrypoint, []string{c.entrypoint}) {
			t.Errorf("%s: %s %q %q", c.engine, s.Image, s.Ports, s.Entrypoint)
		}
		nvidia := s.Deploy != nil && len(s.Deploy.Resources.Reservations.Devices) == 1 && s.Deploy.Resources.Reservations.Devices[0].Driver == "nvidia"
		amd := slices.Equal(s.Devices, []string{"/dev/kfd", "/dev/dri"})
		if nvidia != (c.devices == "nvidia") || amd != (c.devices == "amd") {
			t.Errorf("%s on %s: the container gets %v %v", c.engine, c.hardware, s.Deploy, s.Devices)
		}
		for i, w := range s.Command {
			if (w == "--host" || w == "--hostname") && s.Command[i+1] != "0.0.0.0" {
				t.Errorf("%s listens on %s in its container", c.engine, s.Command[i+1])
			}
		}
		for _, secret := range out.Secrets {
			if v, ok := s.Environment[secret]; !ok || v != nil {
				t.Errorf("%s: %s is %v: it must be the caller's, or left out", c.engine, secret, v)
			}
		}
		if len(f.Configs) != len(out.Files) || len(s.Configs) != len(out.Files) {
			t.Errorf("%s: %d files, %d configs", c.engine, len(out.Files), len(f.Configs))
		}
		for _, x := range s.Configs {
			name := strings.TrimPrefix(x.Target, configDir)
			if got := strings.ReplaceAll(f.Configs[x.Source].Content, "$$", "$"); strings.ReplaceAll(got, "FROM /models/", "FROM ./") != out.Files[name] {
				t.Errorf("%s: %s is %q in the container, %q beside the command", c.engine, name, got, out.Files[name])
			}
		}
	}
}

// TestComposeOllama: the container runs the server, and the model is made in it.
func TestComposeOllama(t *testing.T) {
	out := export(t, map[string]any{"model": "catalog:Qwen/Qwen3-8B", "engine": "ollama", "hardware": "RTX 4090", "format": "compose", "port": 11500})
	s := parseCompose(t, out.Content).Services["model"]
	if !slices.Equal(s.Command, []string{"serve"}) || s.Environment["OLLAMA_HOST"] != "0.0.0.0:11500" {
		t.Errorf("%q, OLLAMA_HOST %v", s.Command, s.Environment["OLLAMA_HOST"])
	}
	if !slices.ContainsFunc(out.Notes, func(n string) bool { return strings.Contains(n, "ollama create planned -f /etc/hwledger/Modelfile") }) {
		t.Errorf("no note says how the model is made: %q", out.Notes)
	}
}

// TestComposeCPU: without an accelerator the container gets no devices.
func TestComposeCPU(t *testing.T) {
	m, err := lookup.Resolve(t.Context(), lookup.Request{Ref: "catalog:Qwen/Qwen3-8B"})
	if err != nil {
		t.Fatal(err)
	}
	host := engine.Device{Name: "host", Vendor: "cpu", Total: 64 * engine.GiB, Free: 64 * engine.GiB, Usable: 64 * engine.GiB}
	for name, image := range map[string]string{"llama.cpp": "ghcr.io/ggml-org/llama.cpp:server", "mistral.rs": "ghcr.io/ericlbuehler/mistral.rs:cpu-latest"} {
		req := calc.Request{Model: m.Model, Engine: name, Hardware: engine.Hardware{Devices: []engine.Device{host}}}
		res, err := calc.Plan(req)
		if err != nil {
			t.Fatal(err)
		}
		c, err := calc.Launch(req, res, "org/name", calc.Endpoint{Host: "::1", Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		text, err := compose(c, "::1", 80)
		if err != nil {
			t.Fatal(err)
		}
		s := parseCompose(t, text).Services["model"]
		if s.Image != image || s.Deploy != nil || s.Devices != nil || s.Ports[0] != "[::1]:80:80" {
			t.Errorf("%s: %s %v %v %q", name, s.Image, s.Deploy, s.Devices, s.Ports)
		}
	}
}

// TestComposeApple: what runs on Apple's GPU does not run in a container.
func TestComposeApple(t *testing.T) {
	r := newSurface(t, Options{}).Call(t.Context(), "export_launch", json.RawMessage(`{"model":"catalog:Qwen/Qwen3-8B","engine":"llama.cpp","hardware":"M3 Max 64GB","format":"compose"}`))
	if !r.Failed || !strings.Contains(r.Text, "set format to shell") {
		t.Errorf("%s", r.Text)
	}
}

// TestComposeLocalModel mounts a directory whose name a shell, YAML and
// compose would each read otherwise.
func TestComposeLocalModel(t *testing.T) {
	name := `a $HOME: "b'#`
	if runtime.GOOS == "windows" { // whose disks take no such name
		name = `a $HOME b'#`
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(tinyConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	out := export(t, map[string]any{"model": dir, "engine": "vllm", "hardware": "H100-80GB", "format": "compose"})
	s := parseCompose(t, out.Content).Services["model"]
	mount, ok := s.Volumes[0].(map[string]any)
	if !ok || len(s.Volumes) != 1 || mount["source"] != strings.ReplaceAll(dir, "$", "$$") || mount["read_only"] != true {
		t.Fatalf("%v", s.Volumes)
	}
	target := strings.ReplaceAll(mount["target"].(string), "$$", "$")
	if words := plainly(s.Command); words[1] != target || target != "/models/"+filepath.Base(dir) {
		t.Errorf("mounted at %q, served from %q", target, words)
	}
	if _, asks := s.Environment["HF_TOKEN"]; asks {
		t.Error("a local model asks for a token")
	}
}

// TestShellLine lets a real shell read the line: the program gets the words of
// argv, and the environment.
func TestShellLine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no such shell")
	}
	bin := t.TempDir()
	stub := "#!/bin/sh\nfor w in \"$0\" \"$@\"; do printf '%s\\000' \"${w##*/bin/}\"; done\nprintf '%s' \"$VLLM_NO_USAGE_STATS\"\n"
	if err := os.MkdirAll(filepath.Join(bin, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "bin", "vllm"), []byte(stub), 0o700); err != nil { //nolint:gosec // it has to run
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "a $(id) 'b'")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(tinyConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	out := export(t, map[string]any{"model": dir, "engine": "vllm", "hardware": "H100-80GB", "flags": map[string]any{"num_speculative_tokens": 2, "speculative_method": "ngram"}})
	cmd := exec.Command("sh", "-c", out.Content)
	cmd.Env = []string{"PATH=" + filepath.Join(bin, "bin") + ":" + os.Getenv("PATH")}
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if want := strings.Join(out.Argv, "\x00") + "\x001"; string(got) != want {
		t.Errorf("the program was given %q, want %q", got, want)
	}
}

// TestExportNeedsAnotherCheckpoint: weights that the engine does not make are
// refused with what to do.
func TestExportNeedsAnotherCheckpoint(t *testing.T) {
	s := newSurface(t, Options{})
	for weights, want := range map[string]string{
		"w4a16": "quantization=w4a16", "awq": "quantization=awq", "nvfp4": "quantization=nvfp4", "gptq": "quantization=gptq",
		"Q4_K_M": "org/name:Q4_K_M, with engine llama.cpp", "IQ3_XS": "org/name:IQ3_XS, with engine llama.cpp", "bnb-int8": "quantization=bnb-int8",
	} {
		raw, err := json.Marshal(map[string]any{"model": "catalog:Qwen/Qwen3-8B", "engine": "vllm", "weights": weights})
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Call(t.Context(), "export_launch", raw); !r.Failed || !strings.Contains(r.Text, want) {
			t.Errorf("%s: %s", weights, r.Text)
		}
	}
}

// TestLaunchRef: an engine is given what it loads, not this program's name for
// it.
func TestLaunchRef(t *testing.T) {
	mlx := &lookup.Result{Model: &model.Model{}, Files: []lookup.File{{Path: "/m/q/config.json", Role: "config"}, {Path: "/m/q/model.safetensors", Role: "weights"}}}
	blob := &lookup.Result{Model: &model.Model{Format: model.FormatGGUF}, Files: []lookup.File{{Path: "/o/manifest", Role: "index"}, {Path: "/o/sha256-1", Role: "weights"}}}
	for _, c := range []struct {
		given, engine string
		found         *lookup.Result
		want          string
	}{
		{"catalog:Qwen/Qwen3-8B", "vllm", mlx, "Qwen/Qwen3-8B"},
		{"./dir", "vllm", mlx, "./dir"},
		{"mlx:q", "mlx", mlx, "/m/q"},
		{"lmstudio:q", "mlx", mlx, "/m/q"},
		{"lmstudio:q", "lmstudio", mlx, "lmstudio:q"}, // lms load takes the key
		{"ollama:q:8b", "ollama", blob, "ollama:q:8b"},
		{"ollama:q:8b", "llama.cpp", blob, "/o/sha256-1"},
		{"", "vllm", mlx, "MODEL"},
	} {
		if got := filepath.ToSlash(launchRef(c.given, c.engine, c.found)); got != c.want {
			t.Errorf("%s loads %q as %q, want %q", c.engine, c.given, got, c.want)
		}
	}
}

// TestTensorRTConfig reads the configuration as the engine's YAML parser does.
func TestTensorRTConfig(t *testing.T) {
	out := export(t, map[string]any{"model": "catalog:deepseek-ai/DeepSeek-V3", "engine": "tensorrt-llm", "hardware": "8x H200", "kv_cache_dtype": "fp8", "gpu_memory_utilization": 0.8,
		"flags": map[string]any{"max_attention_window": "4096,32768", "enable_attention_dp": true, "use_cuda_graph": false, "max_tokens": 131072, "speculative": true}})
	var got map[string]any
	if err := yaml.Unmarshal([]byte(out.Files["trtllm.yml"]), &got); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cuda_graph_config":null,"enable_attention_dp":true,` +
		`"kv_cache_config":{"dtype":"fp8","free_gpu_memory_fraction":0.8,"max_attention_window":[4096,32768],"max_tokens":131072,"tokens_per_block":32},` +
		`"speculative_config":{"decoding_type":"MTP","num_nextn_predict_layers":1}}`
	if string(b) != want {
		t.Errorf("%s\nwant %s", b, want)
	}
}
