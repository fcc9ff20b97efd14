package observed

import (
	"regexp"
	"slices"

	"hwledger/calc/engine"
)

// Refused reports whether the engine did not start.
func (r *EngineRow) Refused() bool { return len(r.Breakdown) == 0 }

var releases = []*regexp.Regexp{
	regexp.MustCompile(`llama\.cpp (?:\d+:)?v?(\d+\.\d+\.\d+)`),
	regexp.MustCompile(`\b(b\d{4,6})\b`),
	regexp.MustCompile(`^v?(\d+\.\d+\.\d+)\b`),
	regexp.MustCompile(`\bbuild[ :]+(\d{4,6})\b`),
}

// Release returns the version in a build's description, "0.5.0" in
// "node-llama-cpp 3.22.1 prebuilt linux-x64, llama.cpp v0.5.0 (ggml 0.25.1)";
// "" when there is none.
func Release(build string) string {
	for _, re := range releases {
		if m := re.FindStringSubmatch(build); m != nil {
			return m[1]
		}
	}
	return ""
}

// DeviceNames returns the buffer types that are not the host's, in the order
// of the devices.
func (r *EngineRow) DeviceNames() []string {
	var names []string
	for n := range r.Breakdown {
		if !engine.HostBuffer(n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// Backends returns what was reported for each device and, last, for the host
// with its repacked weights.
func (r *EngineRow) Backends() []Buffers {
	var host Buffers
	for n, b := range r.Breakdown {
		if engine.HostBuffer(n) {
			host.Model += b.Model
			host.Context += b.Context
			host.Compute += b.Compute
		}
	}
	var out []Buffers
	for _, n := range r.DeviceNames() {
		out = append(out, r.Breakdown[n])
	}
	return append(out, host)
}

// Load returns the row's setting as a plan's load and hardware. The recorder
// used the library, whose defaults are neither unified caches nor few logits
// rows. Weights stay those of the model's header.
func (r *EngineRow) Load() (engine.Load, engine.Hardware) {
	s := &r.Setting
	f := engine.Flags{
		"n_ctx": s.NCtx, "n_parallel": max(1, s.NSeqMax), "n_outputs_max": int64(0), "kv_unified": false,
		"no_mmap": true, "no_repack": true, "pipeline_parallel": true,
	}
	if s.FA < 0 {
		f["flash_attn"] = "auto"
	} else {
		f["flash_attn"] = s.FA != 0
	}
	on := func(name string, p *int, want bool) {
		if p != nil {
			f[name] = (*p != 0) == want
		}
	}
	on("kv_unified", s.KVUnified, true)
	on("swa_full", s.SWAFull, true)
	on("offload_kqv", s.OffloadKQV, true)
	on("no_op_offload", s.OpOffload, false)
	on("no_mmap", s.MMap, false)
	on("no_repack", s.ExtraBuffers, false)
	number := func(name string, n int64) {
		if n > 0 {
			f[name] = n
		}
	}
	number("n_batch", s.NBatch)
	number("n_ubatch", s.NUBatch)
	if s.NOutputsMax != nil {
		f["n_outputs_max"] = *s.NOutputsMax
	}
	if s.NRSSeq != nil {
		f["n_rs_seq"] = *s.NRSSeq
	}
	text := func(name, v, suffix string) {
		if v != "" {
			f[name] = v + suffix
		}
	}
	text("tensor_split", s.TensorSplit, "")
	text("cache_type_k", s.CTK, "")
	text("cache_type_v", s.CTV, "")
	text("override_tensor", s.Override, "=CPU")
	load := engine.Load{
		Version: Release(r.Engine), ContextTokens: max(1, s.NCtx/max(1, s.NSeqMax)), Sequences: max(1, s.NSeqMax),
		TensorParallel: 1, PipelineParallel: 1, DataParallel: 1, GPULayers: s.NGL, Flags: f,
	}
	hw := engine.Hardware{Host: &engine.Device{Name: "host"}}
	names := r.DeviceNames()
	for i := range max(r.Devices, len(names)) {
		d := engine.Device{Name: "device", Free: engine.GiB}
		if i < len(names) {
			d.Name, d.Vendor = names[i], engine.BufferVendor(names[i])
		}
		hw.Devices = append(hw.Devices, d)
	}
	return load, hw
}
