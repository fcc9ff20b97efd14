package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/hardware"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/internal/schema"
)

// ModelArgs name a model: every tool that takes one has them.
type ModelArgs struct {
	Model  string          `json:"model,omitempty" doc:"org/name (\"Qwen/Qwen3-8B\": Hugging Face cache, Hub, then embedded catalogue), org/name:Q4_K_M or org/name/file.gguf of the Hub, a path (\"./dir\", \"/path/config.json\", \"/path/x.gguf\"), the https address of a GGUF, ollama:name:tag, lmstudio:key, mlx:dir-or-repo, catalog:org/name." alias:"model_id,model_name,name,repo,path,model_path"`
	Config json.RawMessage `json:"config,omitempty" rare:"true" doc:"The model's config.json as an object, instead of model." alias:"config_json,model_config"`
}

// resolve finds the model.
func (a ModelArgs) resolve(ctx context.Context, offline bool) (*lookup.Result, error) {
	if a.Model == "" && len(a.Config) == 0 {
		return nil, model.Errorf(model.InvalidArgument, "model", "no model was given").
			WithHint("give model (\"org/name\" or a path) or config (the config.json as an object)")
	}
	return resolveRecent(ctx, lookup.Request{Ref: a.Model, Config: a.Config, Offline: offline})
}

// EngineName is an engine that there are rules for.
type EngineName string

// Enum lists the engines.
func (EngineName) Enum() []string { return calc.Engines() }

// LoadArgs are the engine and what it is asked to serve.
type LoadArgs struct {
	Engine        EngineName `json:"engine,omitempty" doc:"Inference engine; by default chosen by the model's format and the hardware. ideal is the floor for any engine." alias:"runtime,backend,framework,server"`
	EngineVersion string     `json:"engine_version,omitempty" rare:"true" doc:"Engine version such as 0.11.0; the newest known by default." alias:"version,vllm_version"`
	Weights       string     `json:"weights,omitempty" doc:"Weight quantization to plan with: bf16, fp8, int8, awq, gptq, nf4, mxfp4, nvfp4, mlx-4bit, Q4_K_M and other GGUF types. auto is what the model stores." default:"auto" alias:"quantization,quant,dtype,precision,bits,load_in_4bit"`

	ContextTokens int64  `json:"context_tokens,omitempty" doc:"Tokens per sequence, prompt and answer together; by default the model's maximum, at most 8192." min:"1" max:"17179869184" alias:"context,context_length,ctx,num_ctx,n_ctx,ctx_size,max_model_len,max_seq_len,seq_len,sequence_length,tokens"`
	Sequences     int64  `json:"sequences,omitempty" doc:"Sequences served at once." min:"1" max:"1048576" default:"1" alias:"batch_size,batch,concurrency,users,concurrent_requests,max_num_seqs,n_parallel,num_sequences,parallel"`
	KVCacheDType  string `json:"kv_cache_dtype,omitempty" doc:"Type of the key/value cache: bf16, fp8, q8_0, q4_0 ...; auto is the engine's default." default:"auto" alias:"cache_type,kv_dtype,cache_dtype,kv_quant,kv_cache_type,cache_type_k"`

	TensorParallel   int64 `json:"tensor_parallel,omitempty" rare:"true" doc:"Devices that share each layer; by default from the number of devices." min:"1" max:"1024" alias:"tp,tp_size,tensor_parallel_size"`
	PipelineParallel int64 `json:"pipeline_parallel,omitempty" rare:"true" doc:"Stages of whole layers." min:"1" max:"1024" default:"1" alias:"pp,pp_size,pipeline_parallel_size"`
	DataParallel     int64 `json:"data_parallel,omitempty" rare:"true" doc:"Replicas that share the sequences." min:"1" max:"4096" default:"1" alias:"dp,dp_size,data_parallel_size,replicas"`
	ExpertParallel   bool  `json:"expert_parallel,omitempty" rare:"true" doc:"Spread whole experts over devices." default:"false" alias:"ep,ep_size,enable_expert_parallel"`

	BatchTokens          int64          `json:"batch_tokens,omitempty" rare:"true" doc:"Most prompt tokens in one step (vLLM max_num_batched_tokens, llama.cpp n_ubatch)." min:"1" max:"17179869184" alias:"max_num_batched_tokens,n_ubatch,ubatch,ubatch_size,n_batch,chunked_prefill_size,prefill_chunk"`
	GPULayers            *int64         `json:"gpu_layers,omitempty" rare:"true" doc:"llama.cpp -ngl: layers on devices, the output counted as one more; all by default." min:"0" max:"65536" alias:"ngl,n_gpu_layers,num_gpu,offload_layers"`
	CPUMoELayers         int64          `json:"cpu_moe_layers,omitempty" rare:"true" doc:"llama.cpp --n-cpu-moe: first layers whose experts stay in system memory." min:"0" max:"65536" default:"0" alias:"n_cpu_moe,ncmoe,cpu_moe"`
	GPUMemoryUtilization float64        `json:"gpu_memory_utilization,omitempty" rare:"true" doc:"Share of each device that the engine may take, for engines that preallocate; the engine's default when absent." min:"0.01" max:"1" alias:"gpu_util,utilization,mem_fraction_static,memory_utilization"`
	Flags                map[string]any `json:"flags,omitempty" rare:"true" doc:"Other engine switches that change memory, by the engine's own names, such as enforce_eager, max_num_seqs, flash_attn, swa_full." alias:"engine_args,extra_args,options,args"`
}

// load is the arguments as the planner takes them.
func (a LoadArgs) load() engine.Load {
	return engine.Load{
		Version: a.EngineVersion, Weights: a.Weights,
		ContextTokens: a.ContextTokens, Sequences: a.Sequences, KVCacheType: a.KVCacheDType,
		TensorParallel: a.TensorParallel, PipelineParallel: a.PipelineParallel, DataParallel: a.DataParallel, ExpertParallel: a.ExpertParallel,
		BatchTokens: a.BatchTokens, GPULayers: a.GPULayers, CPUMoELayers: a.CPUMoELayers,
		MemoryUtilization: a.GPUMemoryUtilization, Flags: engine.Flags(a.Flags),
	}
}

// planned resolves what a plan is made of.
func planned(ctx context.Context, m ModelArgs, l LoadArgs, h *Hardware, opts Options) (*lookup.Result, calc.Request, error) {
	found, err := m.resolve(ctx, opts.Offline)
	if err != nil {
		return nil, calc.Request{}, err
	}
	hw, err := h.resolve(ctx, opts)
	return found, calc.Request{Model: found.Model, Engine: string(l.Engine), Load: l.load(), Hardware: hw}, err
}

// Hardware is hardware as text, or as bytes.
type Hardware struct {
	Text        string
	MemoryBytes int64
	Count       int64
	// Empty plans this machine's devices as if nothing used them.
	Empty bool
}

// JSONSchema allows a string or an object.
func (Hardware) JSONSchema() *schema.Schema {
	one := 1.0
	return &schema.Schema{AnyOf: []*schema.Schema{
		{Type: "string"},
		{Type: "object", Closed: true, Properties: []schema.Property{
			{Name: "memory_bytes", Required: true, Aliases: []string{"memory", "vram_bytes", "vram", "total_bytes"}, Schema: &schema.Schema{Type: "integer", Min: &one, Description: "Usable memory of one device."}},
			{Name: "count", Aliases: []string{"num_gpus", "gpus", "devices", "n"}, Schema: &schema.Schema{Type: "integer", Min: &one, Default: json.RawMessage("1")}},
		}},
	}}
}

// UnmarshalJSON reads either form.
func (h *Hardware) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, &h.Text)
	}
	var o struct {
		MemoryBytes int64 `json:"memory_bytes"`
		Count       int64 `json:"count"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	h.MemoryBytes, h.Count = o.MemoryBytes, max(1, o.Count)
	return nil
}

// String is what the caller wrote, "" for nothing.
func (h *Hardware) String() string {
	switch {
	case h == nil:
		return ""
	case h.MemoryBytes > 0 && h.Count > 1:
		return fmt.Sprintf("%dx %s", h.Count, engine.Bytes(h.MemoryBytes))
	case h.MemoryBytes > 0:
		return engine.Bytes(h.MemoryBytes).String()
	}
	return h.Text
}

// isLocal reports whether the caller means this machine.
func (h *Hardware) isLocal() bool {
	return h != nil && strings.EqualFold(strings.TrimSpace(h.Text), "local")
}

// resolve returns the devices; none when nothing was given.
func (h *Hardware) resolve(ctx context.Context, opts Options) (engine.Hardware, error) {
	switch {
	case h == nil:
		return engine.Hardware{}, nil
	case h.MemoryBytes > 0:
		devices, err := hardware.FromBytes(engine.Bytes(h.MemoryBytes), int(min(h.Count, hardware.MaxDevices+1)))
		return engine.Hardware{Devices: devices}, err
	case h.isLocal():
		return localHardware(ctx, opts, h.Empty)
	}
	return hardware.Parse(h.Text)
}
