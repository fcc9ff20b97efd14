package llamacpp

import (
	"regexp"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// placement says on which backend everything is: devices from 0, the host
// last. (llama_model::load_tensors)
type placement struct {
	devices int  // accelerators that take part
	host    int8 // index of the host
	layers  []int8
	output  int8
	start   int // first layer on a device
	// all: every layer and the output are on devices.
	all bool
	// cpuMoE keeps the experts of that many first layers on the host.
	cpuMoE int64
	// onHost matches the names of tensors that an override keeps on the host.
	onHost *regexp.Regexp
	expr   string
	// rows cuts matrices over devices (split_mode row); shares are each
	// device's part.
	rows   bool
	shares []float32
	main   int
}

// experts are the tensors that --n-cpu-moe keeps on the host.
var experts = regexp.MustCompile(`^ffn_(up|down|gate|gate_up)_(ch)?exps`)

func (p *placement) layer(i int) int8 {
	if i < len(p.layers) {
		return p.layers[i]
	}
	return p.host
}

// expert returns where layer i's experts are, dev being where the layer is.
func (p *placement) expert(i int, dev int8) int8 {
	if int64(i) < p.cpuMoE || p.onHost != nil && p.onHost.MatchString("blk."+strconv.Itoa(i)+".ffn_up_exps.weight") {
		return p.host
	}
	return dev
}

// weightsOnHost reports whether matrices stay on the host beside devices.
func (p *placement) weightsOnHost() bool {
	return p.devices > 0 && (!p.all || p.cpuMoE > 0 || p.onHost != nil)
}

// overridden reports whether an override keeps the tensor on the host.
func (p *placement) overridden(t *model.Tensor) bool {
	if t.Part == model.Expert && int64(t.Layer) < p.cpuMoE && experts.MatchString(t.Name) {
		return true
	}
	if p.onHost == nil {
		return false
	}
	name := t.Name
	if t.Layer >= 0 {
		name = "blk." + strconv.Itoa(t.Layer) + "." + name
	}
	return p.onHost.MatchString(name)
}

// place reads gpu_layers, tensor_split and the overrides.
func (s *settings) place(m *model.Model, load engine.Load, hw engine.Hardware, r *flagReader, u *engine.Usage) error {
	p := &s.placed
	n := len(m.Layers)
	p.devices = accelerators(load, hw, u)
	p.host = int8(p.devices)
	p.layers = make([]int8, n)
	mode := r.string("split_mode", "layer")
	switch mode {
	case "layer", "none", "row":
	default:
		e := model.Errorf(model.InvalidArgument, "flags.split_mode", "no memory rules for split mode %q", mode)
		e.Candidates = []string{"layer", "none", "row"}
		return e.WithHint("use one of the candidates")
	}
	p.main = int(r.int("main_gpu", 0, 0, max(0, int64(p.devices)-1)))
	p.rows = mode == "row" && p.devices > 1
	p.cpuMoE = max(load.CPUMoELayers, r.int("n_cpu_moe", 0, 0, 1<<20))
	if err := p.override(r.string("override_tensor", "")); err != nil {
		return err
	}
	ngl := int64(n) + 1
	if load.GPULayers != nil {
		ngl = max(0, *load.GPULayers)
		if *load.GPULayers < 0 {
			ngl = int64(n) + 1
		}
	} else if p.devices > 0 {
		u.Assume("gpu_layers", strconv.FormatInt(ngl, 10), "every layer and the output on devices")
	}
	act := min(ngl, int64(n)+1)
	p.start = int(max(int64(n)+1-ngl, 0))
	if p.devices == 0 {
		act, p.start = 0, n+1
	}
	p.all = p.start == 0 && p.devices > 0
	cum, err := p.split(r, hw)
	if err != nil {
		return err
	}
	at := func(i int) int8 {
		if i < p.start || act == 0 {
			return p.host
		}
		if mode != "layer" {
			return int8(p.main)
		}
		share := float32(i-p.start) / float32(act)
		for d, c := range cum {
			if c > share {
				return int8(d)
			}
		}
		return int8(p.devices - 1)
	}
	for i := range p.layers {
		p.layers[i] = at(i)
	}
	p.output = at(n)
	return r.err
}

// split returns the cumulative share of each device: of tensor_split, else of
// free memory.
func (p *placement) split(r *flagReader, hw engine.Hardware) ([]float32, error) {
	cum := make([]float32, p.devices)
	given, err := ratios(r.f["tensor_split"])
	if err != nil {
		return nil, err
	}
	if len(given) > 0 && len(given) < p.devices {
		given = append(given, make([]float32, p.devices-len(given))...)
	}
	any := false
	for i := range min(len(given), p.devices) {
		cum[i] = given[i]
		any = any || given[i] > 0
	}
	if !any {
		for i := range cum {
			cum[i] = 1
			if i < len(hw.Devices) && hw.Devices[i].Free > 0 {
				cum[i] = float32(hw.Devices[i].Free)
			}
		}
	}
	p.shares = append(p.shares, cum...)
	var sum float32
	for i := range cum {
		sum += cum[i]
		cum[i] = sum
	}
	for i := range cum {
		cum[i] /= sum
		p.shares[i] /= sum
	}
	return cum, nil
}

// ratios reads "3,1" or [3, 1].
func ratios(v any) ([]float32, error) {
	bad := func() error {
		return model.Errorf(model.InvalidArgument, "flags.tensor_split", "must be proportions such as \"3,1\", not %v", v)
	}
	var out []float32
	add := func(x float64) bool {
		out = append(out, float32(x))
		return x >= 0 && x < 1e12
	}
	switch v := v.(type) {
	case nil:
	case string:
		for _, f := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '/' || r == ';' }) {
			x, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
			if err != nil || !add(x) {
				return nil, bad()
			}
		}
	case []any:
		for _, f := range v {
			x, ok := f.(float64)
			if !ok || !add(x) {
				return nil, bad()
			}
		}
	case []float64:
		for _, x := range v {
			if !add(x) {
				return nil, bad()
			}
		}
	default:
		return nil, bad()
	}
	return out, nil
}

// override reads "pattern=CPU" rules, the ones that move tensors to the host.
func (p *placement) override(rules string) error {
	var parts []string
	for _, rule := range strings.Split(rules, ",") {
		if rule == "" {
			continue
		}
		pattern, to, ok := strings.Cut(rule, "=")
		if ok && !strings.EqualFold(to, "cpu") {
			return model.Errorf(model.InvalidArgument, "flags.override_tensor", "only overrides to CPU are planned, not to %q", to).
				WithHint("write pattern=CPU")
		}
		if _, err := regexp.Compile(pattern); err != nil {
			return model.Errorf(model.InvalidArgument, "flags.override_tensor", "%q is not a pattern", pattern)
		}
		parts = append(parts, "(?:"+pattern+")")
	}
	if len(parts) == 0 {
		return nil
	}
	p.expr = strings.Join(parts, "|")
	re, err := regexp.Compile(p.expr)
	if err != nil {
		return model.Errorf(model.InvalidArgument, "flags.override_tensor", "%q is not a pattern", rules)
	}
	p.onHost = re
	return nil
}

// accelerators returns how many devices take part.
func accelerators(load engine.Load, hw engine.Hardware, u *engine.Usage) int {
	if len(hw.Devices) > 0 {
		if hw.Devices[0].Vendor == "cpu" {
			return 0
		}
		return min(len(hw.Devices), 64)
	}
	if hw.Host != nil || load.GPULayers != nil && *load.GPULayers == 0 {
		return 0
	}
	n := int(min(64, max(1, load.TensorParallel)*max(1, load.PipelineParallel)))
	u.Assume("hardware", strconv.Itoa(n)+" device(s)", "none given")
	return n
}

// asynchronous reports whether all devices are CUDA's or ROCm's (as they are
// assumed to be when none are given). These overlap work, which pipeline
// parallelism needs, and pad quantized rows.
func asynchronous(hw engine.Hardware) bool {
	for i := range hw.Devices {
		switch hw.Devices[i].Vendor {
		case "nvidia", "amd":
		default:
			return false
		}
	}
	return true
}
