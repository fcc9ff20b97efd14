package mistralrs

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// options are the options of the flags.
var options = map[string]engine.Option{
	"max_batch_size":         {Name: "--max-batch-size"},
	"max_num_batched_tokens": {Name: "--max-num-batched-tokens"},
	"no_kv_cache":            {On: "--no-kv-cache"},
	"pa_block_size":          {Name: "--pa-block-size"},
	// Launch writes these, resolved.
	"cpu": {}, "device_layers": {}, "isq": {}, "max_seq_len": {}, "max_seqs": {}, "pa_cache_type": {}, "pa_context_len": {},
	"pa_memory_fraction": {}, "pa_memory_mb": {}, "paged_attn": {}, "quant": {},
}

// Launch returns the command of mistral.rs' server with every option that
// changes memory.
func (e mistralrs) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	_, isq, err := storedAs(l.Model, s.weights, s.metal)
	if err != nil {
		return nil, err
	}
	if !isq && !quant.StoredAs(l.Model, s.weights) {
		return nil, engine.NotLoadable("mistral.rs", s.weights)
	}
	a := engine.NewArgs("mistralrs", "serve")
	c := &engine.Command{Env: map[string]string{}, Store: "/data", Notes: []string{"mistral.rs has no API key: keep it on this machine or put a proxy in front"}}
	s.image(c, l)
	modelArgs(a, c, l)
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--max-seqs", s.maxSeqs)
	a.Set("--max-seq-len", s.mapLen)
	if isq {
		a.Set("--isq", strings.ToLower(s.weights))
	}
	s.pagedArgs(a)
	s.deviceArgs(a, c, int64(len(l.Model.Layers)))
	if n := l.Load.BatchTokens; n > 0 && l.Load.Flags["max_num_batched_tokens"] == nil {
		a.Set("--max-num-batched-tokens", s.batch)
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	c.Queued("--max-seqs", s.seqs, s.maxSeqs)
	c.Argv = a.Argv
	return c, nil
}

// capabilities are the compute capabilities that there are images for.
var capabilities = []string{"80", "86", "89", "90", "100", "120", "121"}

// image names the container image: one for the processor, and one for each
// compute capability (docs/guides/deploy/docker.md).
func (s *settings) image(c *engine.Command, l engine.Launch) {
	const repository = "ghcr.io/ericlbuehler/mistral.rs:"
	tag := "-latest"
	if l.Load.Version != "" && s.release.AtLeast(afterLoad) {
		tag = "-" + s.release.String()
	} else if !s.release.AtLeast(afterLoad) {
		c.Notes = append(c.Notes, "the image is that of the latest release: those before 0.9 had other tags")
	}
	switch c.Devices = l.Hardware.Vendor(); {
	case s.cpu:
		c.Image, c.Devices = repository+"cpu"+tag, ""
	case c.Devices == "nvidia":
		capability := "80"
		if len(l.Hardware.Devices) > 0 {
			capability = strings.ReplaceAll(l.Hardware.Devices[0].Arch, ".", "")
		}
		if !slices.Contains(capabilities, capability) || len(l.Hardware.Devices) == 0 {
			capability = "80"
			c.Notes = append(c.Notes, "the image is built for one compute capability: put the device's in place of sm80, of those that there are images for ("+strings.Join(capabilities, ", ")+")")
		}
		c.Image = repository + "cuda-sm" + capability + tag
	}
}

// modelArgs names the model: a repository or directory, and for GGUF the file
// in it.
func modelArgs(a *engine.Args, c *engine.Command, l engine.Launch) {
	id, revision := engine.Repository(l.Ref)
	if revision != "" {
		c.Notes = append(c.Notes, "the revision "+revision+" has no option: the default branch is loaded")
	}
	if l.Model.Format != model.FormatGGUF {
		c.Local = engine.LocalPath(id)
		a.Set("-m", id)
		return
	}
	file := "model.gguf"
	if repo, name, ok := engine.HubFile(id); ok {
		id, file = repo, name
	} else if strings.HasSuffix(strings.ToLower(id), ".gguf") {
		id, file = path.Dir(id), path.Base(id)
		if !strings.HasPrefix(id, "/") && engine.LocalPath(id) == "" {
			id = "./" + id
		}
	} else {
		id, _, _ = strings.Cut(id, ":")
		c.Notes = append(c.Notes, "mistral.rs takes a GGUF by the name of its file: put it in place of "+file)
	}
	c.Local = engine.LocalPath(id)
	a.Set("--format", "gguf")
	a.Set("-m", id)
	a.Set("-f", file)
}

// pagedArgs says how the cache is paged, and how large its pool is.
func (s *settings) pagedArgs(a *engine.Args) {
	if !s.paged {
		a.Set("--paged-attn", "off")
		return
	}
	a.Set("--paged-attn", "on")
	switch {
	case s.memory.mb > 0:
		a.Set("--pa-memory-mb", s.memory.mb)
	case s.memory.tokens > 0:
		a.Set("--pa-context-len", s.memory.tokens)
	default:
		a.Set("--pa-memory-fraction", s.memory.fraction)
	}
	if s.size == 1 {
		a.Set("--pa-cache-type", "f8e4m3")
	}
}

// deviceArgs says which layers are on which device.
func (s *settings) deviceArgs(a *engine.Args, c *engine.Command, layers int64) {
	a.On("--cpu", s.cpu)
	split := s.split
	if split == nil && !s.cpu && (s.onDevice >= 0 || s.pp > 1) {
		on := layers
		if s.onDevice >= 0 {
			on = int64(s.onDevice)
		}
		for _, r := range engine.Stages(int(on), int(s.pp)) {
			split = append(split, r[1]-r[0])
		}
	}
	parts := make([]string, len(split))
	for i, n := range split {
		parts[i] = strconv.Itoa(i) + ":" + strconv.Itoa(n)
	}
	if len(parts) > 0 {
		a.Set("-n", strings.Join(parts, ";"))
	}
	c.Unbounded(s.seqs, s.context)
	if s.tp > 1 {
		c.Notes = append(c.Notes, "tensor parallelism follows from the build (NCCL) and the devices that are visible, not from an option: "+strconv.FormatInt(s.tp, 10)+" devices were planned")
	}
}
