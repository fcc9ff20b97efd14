package llamacpp

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// options are the options of llama-server for the flags.
var options = map[string]engine.Option{
	"embeddings":        {On: "--embeddings"},
	"mmproj":            {Why: "--mmproj takes the projector's file; beside -hf it is loaded by itself"},
	"n_outputs_max":     {Why: "llama-server reserves a row of logits for each slot"},
	"n_rs_seq":          {Why: "how many states can be rolled back follows from speculative decoding"},
	"pipeline_parallel": {Why: "llama.cpp overlaps devices when all layers and the cache are on them"},
	// server writes these, resolved.
	"cache_type_k": {}, "cache_type_v": {}, "flash_attn": {}, "kv_unified": {}, "main_gpu": {}, "n_batch": {}, "n_cpu_moe": {}, "n_ctx": {},
	"n_parallel": {}, "n_ubatch": {}, "no_kv_offload": {}, "no_mmap": {}, "no_op_offload": {}, "no_repack": {}, "offload_kqv": {},
	"override_tensor": {}, "split_mode": {}, "swa_full": {}, "tensor_split": {},
}

// ollamaOptions are the flags that Ollama's Modelfile and environment say.
var ollamaOptions = map[string]engine.Option{
	"cache_type_k": {}, "cache_type_v": {}, "flash_attn": {}, "n_batch": {}, "n_ctx": {}, "n_parallel": {},
}

// Launch returns the command of llama-server, or the Modelfile and the
// environment of Ollama, that makes it allocate what was planned. Everything
// that changes memory is said, because defaults differ between builds and
// --fit would change what is left open.
func (e *llama) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := e.settingsFor(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	if !engine.Stored(l.Load.Weights) {
		if _, err := quant.GGUF(l.Load.Weights); err != nil {
			return nil, engine.NotLoadable(e.name, l.Load.Weights)
		}
	}
	if e.name != "llama.cpp" {
		return e.modelfile(l, s)
	}
	return s.server(l)
}

// server is the command of llama-server.
func (s *settings) server(l engine.Launch) (*engine.Command, error) {
	a := engine.NewArgs("llama-server")
	c := &engine.Command{Env: map[string]string{}, Secrets: []string{"LLAMA_API_KEY"}, Program: "/app/llama-server"}
	if s.placed.devices > 0 {
		c.Devices = l.Hardware.Vendor()
	}
	c.Image = "ghcr.io/ggml-org/llama.cpp:server" + map[string]string{"nvidia": "-cuda", "amd": "-rocm", "intel": "-intel"}[c.Devices]
	if err := s.modelArgs(a, l, c); err != nil {
		return nil, err
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	if s.rules.fits {
		a.Set("--fit", "off")
	}
	a.Set("-c", s.nCtx)
	a.Set("-np", s.nSeq)
	switch {
	case s.rules.alwaysUnified: // there is no option
	case s.unified:
		a.On("--kv-unified", true)
	case s.nSeq > 1:
		a.On("--no-kv-unified", true)
	}
	a.Set("-b", s.nBatch)
	a.Set("-ub", s.nUBatch)
	if s.rules.flashFlag {
		a.On("-fa", s.flash)
	} else {
		a.Set("-fa", map[bool]string{true: "on", false: "off"}[s.flash])
	}
	a.Set("-ctk", strings.ToLower(s.typeK.String()))
	a.Set("-ctv", strings.ToLower(s.typeV.String()))
	a.On("--swa-full", s.swaFull)
	s.placementArgs(a, l)
	a.On("--no-kv-offload", !s.offloadKQV)
	a.On("--no-op-offload", !s.opOffload)
	a.On("--no-repack", !s.repack)
	if !s.mmap {
		a.Set("--load-mode", "none")
	}
	// The prompt cache of 8 GiB in system memory is no part of the plan.
	a.Set("--cache-ram", 0)
	a.On("--no-webui", true)
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// modelArgs names the model: a file, or a repository with the quantization.
func (s *settings) modelArgs(a *engine.Args, l engine.Launch, c *engine.Command) error {
	repo, quantization, _ := strings.Cut(strings.TrimPrefix(l.Ref, "hf:"), ":")
	isFile := strings.HasSuffix(strings.ToLower(l.Ref), ".gguf") || engine.LocalPath(l.Ref) != "" && l.Model.Format == model.FormatGGUF
	hub, file, isHub := engine.HubFile(l.Ref)
	switch {
	case isFile && !engine.Stored(l.Load.Weights):
		return engine.NotLoadable("llama.cpp", l.Load.Weights)
	case isFile && strings.HasPrefix(l.Ref, "https://"):
		a.Set("--model-url", l.Ref)
	case isFile && isHub:
		a.Set("-hf", hub)
		a.Set("--hf-file", file)
	case isFile:
		a.Set("-m", l.Ref)
		c.Local = l.Ref
	case strings.Contains(repo, "/") && quantization != "":
		a.Set("-hf", repo+":"+quantization)
	default:
		name := ggufName(l)
		c.Local = "./model-" + name + ".gguf"
		a.Set("-m", c.Local)
		c.Notes = append(c.Notes, fmt.Sprintf("%s is not a GGUF: model-%s.gguf stands for its conversion; a repository of GGUFs is given as org/name:%s", l.Ref, name, name))
	}
	return nil
}

// ggufName is the file type that was planned.
func ggufName(l engine.Launch) string {
	if s, err := quant.ForGGUF(l.Model, l.Load.Weights); err == nil {
		return s.Name()
	}
	return "BF16"
}

// placementArgs says where layers and experts go.
func (s *settings) placementArgs(a *engine.Args, l engine.Launch) {
	p := &s.placed
	if p.devices == 0 {
		a.Set("-ngl", 0)
		return
	}
	a.Set("-ngl", len(l.Model.Layers)+1-p.start)
	a.Int("--n-cpu-moe", p.cpuMoE)
	if rules, _ := l.Load.Flags.String("override_tensor", ""); rules != "" {
		a.Set("-ot", rules)
	}
	if p.devices < 2 { // not the others that the machine may have
		a.Set("-sm", "none")
		return
	}
	mode, _ := l.Load.Flags.String("split_mode", "layer")
	a.Set("-sm", mode)
	parts := make([]string, len(p.shares))
	for i, x := range p.shares {
		parts[i] = strconv.FormatFloat(float64(x), 'f', -1, 32)
	}
	a.Set("-ts", strings.Join(parts, ","))
	if p.main > 0 {
		a.Set("-mg", p.main)
	}
}

// modelfile is what Ollama reads, and the environment of its server.
func (e *llama) modelfile(l engine.Launch, s *settings) (*engine.Command, error) {
	from, conversion := l.Ref, ""
	hub, file, isHub := engine.HubFile(l.Ref)
	switch repo, quantization, ok := strings.Cut(strings.TrimPrefix(l.Ref, "hf:"), ":"); {
	case strings.HasPrefix(l.Ref, "ollama:"):
		from = strings.TrimPrefix(l.Ref, "ollama:")
	case isHub && strings.HasSuffix(strings.ToLower(l.Ref), ".gguf"):
		from = "hf.co/" + hub + ":" + file
	case strings.HasSuffix(strings.ToLower(l.Ref), ".gguf"):
	case ok && strings.Contains(repo, "/"):
		from = "hf.co/" + repo + ":" + quantization
	default:
		from = "./model-" + ggufName(l) + ".gguf"
		conversion = l.Ref + " is not a GGUF: " + from + " stands for its conversion; a repository of GGUFs is given as org/name:" + ggufName(l)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FROM %s\n", from)
	fmt.Fprintf(&b, "PARAMETER num_ctx %d\n", s.nCtxSeq)
	fmt.Fprintf(&b, "PARAMETER num_batch %d\n", s.nUBatch)
	// Ollama gives it to llama-server as -ngl; without, it loads what it finds
	// room for. (llm/llama_server.go)
	fmt.Fprintf(&b, "PARAMETER num_gpu %d\n", len(l.Model.Layers)+1-s.placed.start)
	if s.typeK != s.typeV {
		return nil, model.Errorf(model.InvalidArgument, "flags.cache_type_v", "Ollama keeps K and V in one type")
	}
	flash := "0"
	if s.flash {
		flash = "1"
	}
	c := &engine.Command{
		Env: map[string]string{
			"OLLAMA_HOST": net.JoinHostPort(l.Host, strconv.Itoa(l.Port)), "OLLAMA_NUM_PARALLEL": strconv.FormatInt(s.nSeq, 10),
			"OLLAMA_KV_CACHE_TYPE": strings.ToLower(s.typeK.String()), "OLLAMA_FLASH_ATTENTION": flash, "OLLAMA_MAX_LOADED_MODELS": "1",
		},
		Files: map[string]string{modelfileName: b.String()}, Image: "ollama/ollama", Store: "/root/.ollama",
		Serve: []string{"ollama", "serve"},
		Notes: []string{"the environment is that of ollama serve, which must be started with it before"},
	}
	if c.Local = engine.LocalPath(from); s.placed.devices > 0 {
		c.Devices = l.Hardware.Vendor()
	}
	if s.placed.devices > 1 { // else one device takes all, where it has room
		c.Env["OLLAMA_SCHED_SPREAD"] = "1"
	}
	if c.Devices == "amd" {
		c.Image += ":rocm"
	}
	if conversion != "" {
		c.Notes = append(c.Notes, conversion)
	}
	if l.Load.CPUMoELayers > 0 {
		c.Unsaid(fmt.Sprintf("cpu_moe_layers %d", l.Load.CPUMoELayers), "Ollama leaves whole layers in system memory (num_gpu)")
	}
	a := engine.NewArgs("ollama", "create", "planned", "-f", modelfileName)
	if err := a.Flags(c, l.Load.Flags, ollamaOptions); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// modelfileName is the name of the file that Ollama makes a model of.
const modelfileName = "Modelfile"
