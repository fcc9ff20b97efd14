package hardware

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// MaxDevices bounds the number of devices that Parse and FromBytes return.
const MaxDevices = 4096

// What people write around a name. Compiled on first use: most runs of the
// program parse no hardware text at all.
var patterns = sync.OnceValue(func() (p struct{ leading, counted, trailing, joint, memory *regexp.Regexp }) {
	p.leading = regexp.MustCompile(`(?i)^\s*(\d{1,6})\s*(?:[x×*]|pcs|pieces of)\s*(\S.*)$`)
	p.counted = regexp.MustCompile(`(?i)^\s*(\d{1,2})\s+([a-z]\S*.*)$`)
	p.trailing = regexp.MustCompile(`(?i)^(.*\S)(?:[\s(,]+[x×*]|[×*])\s*(\d{1,6})\s*\)?\s*$`)
	p.joint = regexp.MustCompile(`(?i)\s*[+&;,]\s*|\s+and\s+`)
	p.memory = regexp.MustCompile(`(?i)^(\d{1,6}(?:\.\d+)?)\s*(gib|gb|g|tib|tb|t|mib|mb|m)\b(.*)$`)
	return p
})

// Parse reads hardware as people write it: "RTX 4090", "2x H100-80GB",
// "4 x A100 40GB", "RTX 3090 + RTX 4090", "M3 Max 64GB", "24GB", with
// "+ 128GB RAM" for system memory. Errors are *model.Error with candidates.
func Parse(text string) (engine.Hardware, error) {
	var hw engine.Hardware
	if len(text) > 1024 {
		return hw, model.Errorf(model.InvalidArgument, "hardware", "is %d characters long, at most 1024 make sense", len(text))
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "Max+", "Max"), "MAX+", "MAX") // AMD's name, not a sum
	for _, part := range patterns().joint.Split(strings.TrimSpace(text), -1) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if host, ok := parseHost(part); ok {
			hw.Host = host
			continue
		}
		devices, err := parsePart(part)
		if err != nil {
			return engine.Hardware{}, err
		}
		hw.Devices = append(hw.Devices, devices...)
		if len(hw.Devices) > MaxDevices {
			return engine.Hardware{}, model.Errorf(model.InvalidArgument, "hardware", "more than %d devices", MaxDevices)
		}
	}
	if len(hw.Devices) == 0 && hw.Host == nil {
		return hw, model.Errorf(model.InvalidArgument, "hardware", "names no device").WithHint("for instance \"RTX 4090\" or \"2x H100-80GB\"")
	}
	return hw, nil
}

func parsePart(part string) ([]engine.Device, error) {
	count, name := int64(1), part
	p := patterns()
	if m := p.leading.FindStringSubmatch(part); m != nil {
		count, name = atoi(m[1]), m[2]
	} else if m := p.trailing.FindStringSubmatch(part); m != nil {
		count, name = atoi(m[2]), m[1]
	} else if m := p.counted.FindStringSubmatch(part); m != nil && p.memory.FindString(part) == "" {
		count, name = atoi(m[1]), m[2]
	}
	if count < 1 || count > MaxDevices {
		return nil, model.Errorf(model.InvalidArgument, "hardware", "%d devices: between 1 and %d make sense", count, MaxDevices)
	}
	if m := p.memory.FindStringSubmatch(name); m != nil && strings.TrimSpace(tidy(m[3])) == "" {
		return FromBytes(size(m), int(count))
	}
	a, err := Find(name)
	if err != nil {
		return nil, err
	}
	return repeat(a.Device(), int(count)*a.Devices), nil
}

// tidy drops the words that may follow a bare memory size.
func tidy(s string) string {
	for _, w := range [...]string{"gpu", "vram", "card", "each"} {
		s = strings.ReplaceAll(strings.ToLower(s), w, "")
	}
	return s
}

// parseHost reads "128GB RAM".
func parseHost(part string) (*engine.Device, bool) {
	m := patterns().memory.FindStringSubmatch(part)
	if m == nil {
		return nil, false
	}
	switch strings.ToLower(strings.Join(strings.Fields(m[3]), " ")) {
	case "ram", "ddr4", "ddr5", "system memory", "system ram", "host memory", "ddr4 ram", "ddr5 ram":
	default:
		return nil, false
	}
	n := size(m)
	return &engine.Device{Name: "system memory", Kind: engine.Shared, Total: n, Free: n, Usable: n}, true
}

func size(m []string) engine.Bytes {
	unit := engine.GiB
	switch strings.ToLower(m[2])[0] {
	case 't':
		unit = engine.TiB
	case 'm':
		unit = engine.MiB
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return engine.Bytes(v * float64(unit))
}

func atoi(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n }

func repeat(d engine.Device, n int) []engine.Device {
	out := make([]engine.Device, n)
	for i := range out {
		out[i] = d
	}
	return out
}

// FromBytes returns count unnamed devices of the given memory, all of it
// usable. It fails with InvalidArgument when a number makes no sense.
func FromBytes(memory engine.Bytes, count int) ([]engine.Device, error) {
	if memory < 1 || memory > 1<<50 {
		return nil, model.Errorf(model.InvalidArgument, "hardware.memory_bytes", "must be between 1 byte and 1 PiB")
	}
	if count < 1 || count > MaxDevices {
		return nil, model.Errorf(model.InvalidArgument, "hardware.count", "must be between 1 and %d", MaxDevices)
	}
	d := engine.Device{Name: memory.String(), Kind: engine.Dedicated, Total: memory, Free: memory, Usable: memory}
	return repeat(d, count), nil
}

// Filter narrows Lookup. Zero values do not filter.
type Filter struct {
	Vendor, Class        string
	Kind                 engine.MemoryKind
	MinMemory, MaxMemory engine.Bytes
	MinBandwidthGBs      float64
}

// Lookup returns the entries whose name or alias has all words of query and
// that pass the filter, in the catalogue's order; an empty query is any. A
// size in the query ("M3 Max 64GB") picks that size. It fails with
// HardwareNotFound when a query was given and nothing has that name.
func Lookup(query string, f Filter) ([]Accelerator, error) {
	size, q := cutSize(tokens(query))
	var out []Accelerator
	named := false
	for _, a := range All() {
		if !(subset(q, a.spellings[0].words) || a.anyAlias(q)) || size > 0 && !a.has(size) {
			continue
		}
		named = true
		if size > 0 && len(a.SizesGB) > 0 {
			a = a.sized(size)
		}
		if f.match(&a) {
			out = append(out, a)
		}
	}
	if !named && strings.TrimSpace(query) != "" {
		return nil, notFound(query)
	}
	return out, nil
}

func (f *Filter) match(a *Accelerator) bool {
	return (f.Vendor == "" || strings.EqualFold(f.Vendor, a.Vendor)) &&
		(f.Class == "" || strings.EqualFold(f.Class, a.Class)) &&
		(f.Kind == "" || f.Kind == a.Kind) &&
		(f.MinMemory == 0 || a.Total >= f.MinMemory) &&
		(f.MaxMemory == 0 || a.Total <= f.MaxMemory) &&
		(f.MinBandwidthGBs == 0 || a.BandwidthGBs >= f.MinBandwidthGBs)
}
