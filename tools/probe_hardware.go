package tools

import (
	"context"
	"time"

	"hwledger/probe"
)

// ProbeQuery is the input of probe_hardware.
type ProbeQuery struct {
	Detail  string `json:"detail,omitempty" enum:"summary,full" doc:"full adds where each field was read, processes, links." alias:"verbose,level"`
	Seconds int    `json:"sample_seconds,omitempty" max:"60" doc:"Watch that long: least, mean, most." alias:"seconds,duration,watch"`
}

// HardwareProbe is the output of probe_hardware. A value that is not known is
// left out, and fields says why.
type HardwareProbe struct {
	Devices []ProbedDevice `json:"devices"`
	Host    ProbedHost     `json:"host"`
	Sources []ProbeSource  `json:"sources"`
}

// FieldNote says how a field is known, or why it is not.
type FieldNote struct {
	State  string `json:"state" enum:"ok,unsupported,denied,absent,stale"`
	Source string `json:"source,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ProbedDevice is one accelerator.
type ProbedDevice struct {
	ID         string `json:"id"`
	Name       string `json:"name,omitempty"`
	Vendor     string `json:"vendor"`
	MemoryKind string `json:"memory_kind" enum:"dedicated,unified,shared,unknown"`
	Index      *int   `json:"index,omitempty"`
	PCI        string `json:"pci_address,omitempty"`
	Parent     string `json:"parent,omitempty"`
	// Planned reports whether plans with hardware local use the device, and
	// Excluded why not.
	Planned  bool   `json:"planned"`
	Excluded string `json:"excluded,omitempty"`

	Total     *int64   `json:"total_bytes,omitempty"`
	Reserved  *int64   `json:"reserved_bytes,omitempty"`
	Used      *int64   `json:"used_bytes,omitempty"`
	Free      *int64   `json:"free_bytes,omitempty"`
	Limit     *int64   `json:"limit_bytes,omitempty"`
	Bandwidth *float64 `json:"bandwidth_bytes_per_second,omitempty"`

	Utilization *float64 `json:"utilization_percent,omitempty"`
	MemoryBusy  *float64 `json:"memory_busy_percent,omitempty"`
	Temperature *float64 `json:"temperature_celsius,omitempty"`
	MemoryTemp  *float64 `json:"memory_temperature_celsius,omitempty"`
	Power       *float64 `json:"power_watts,omitempty"`
	PowerLimit  *float64 `json:"power_limit_watts,omitempty"`
	Energy      *float64 `json:"energy_joules,omitempty"`

	Driver     *string `json:"driver,omitempty"`
	Runtime    *string `json:"runtime,omitempty"`
	Capability *string `json:"capability,omitempty"`
	MIG        *string `json:"mig,omitempty"`
	Addressing *string `json:"addressing_mode,omitempty"`
	LinkGen    *int64  `json:"pcie_generation,omitempty"`
	LinkWidth  *int64  `json:"pcie_width,omitempty"`
	MaxLinkGen *int64  `json:"pcie_max_generation,omitempty"`
	MaxWidth   *int64  `json:"pcie_max_width,omitempty"`
	NUMANode   *int64  `json:"numa_node,omitempty"`
	NVLinks    *int64  `json:"nvlinks,omitempty"`

	Processes []ProbedProcess          `json:"processes,omitempty"`
	Links     []ProbedLink             `json:"links,omitempty"`
	Sampled   map[string]SampleSummary `json:"sampled,omitempty"`
	Fields    map[string]FieldNote     `json:"fields"`
}

// ProbedProcess is a process that uses a device.
type ProbedProcess struct {
	PID  int64  `json:"pid"`
	Used *int64 `json:"used_bytes,omitempty"`
}

// SampleSummary is what a value was while the devices were watched.
type SampleSummary struct {
	Min     float64 `json:"min"`
	Mean    float64 `json:"mean"`
	Max     float64 `json:"max"`
	Samples int     `json:"samples"`
	Seconds float64 `json:"seconds"`
}

// ProbedHost is the machine around the devices. usable_bytes is what a process
// started here can have: available, less what control groups withhold.
type ProbedHost struct {
	OS            string               `json:"os"`
	Arch          string               `json:"arch"`
	Kernel        *string              `json:"kernel,omitempty"`
	CPU           *string              `json:"cpu,omitempty"`
	Cores         *int64               `json:"cores,omitempty"`
	Threads       *int64               `json:"threads,omitempty"`
	Quota         *float64             `json:"cpu_quota,omitempty"`
	Total         *int64               `json:"total_bytes,omitempty"`
	Available     *int64               `json:"available_bytes,omitempty"`
	Limit         *int64               `json:"limit_bytes,omitempty"`
	Usable        *int64               `json:"usable_bytes,omitempty"`
	SwapTotal     *int64               `json:"swap_total_bytes,omitempty"`
	SwapFree      *int64               `json:"swap_free_bytes,omitempty"`
	HugePagesFree *int64               `json:"huge_pages_free_bytes,omitempty"`
	Memlock       *int64               `json:"memlock_bytes,omitempty"`
	Container     *string              `json:"container,omitempty"`
	WSL           *string              `json:"wsl,omitempty"`
	Nodes         []ProbedNode         `json:"numa_nodes,omitempty"`
	Disks         []ProbedDisk         `json:"disks"`
	Engines       []EngineView         `json:"engines,omitempty"`
	Fields        map[string]FieldNote `json:"fields"`
}

// ProbedNode is one NUMA node.
type ProbedNode struct {
	ID    int64  `json:"id"`
	CPUs  string `json:"cpus"`
	Total *int64 `json:"total_bytes,omitempty"`
	Free  *int64 `json:"free_bytes,omitempty"`
}

// ProbedDisk is the file system of a folder that models are kept in.
type ProbedDisk struct {
	Role       string  `json:"role"`
	Path       string  `json:"path"`
	FileSystem *string `json:"file_system,omitempty"`
	Remote     *bool   `json:"remote,omitempty"`
	Total      *int64  `json:"total_bytes,omitempty"`
	Free       *int64  `json:"free_bytes,omitempty"`
}

// ProbeSource is what became of one way of reading hardware.
type ProbeSource struct {
	Name   string  `json:"name"`
	State  string  `json:"state" enum:"ok,unsupported,denied,absent,stale"`
	Reason string  `json:"reason,omitempty"`
	Hint   string  `json:"hint,omitempty"`
	TookMS float64 `json:"took_ms"`
}

// ProbedLink is the way to another device.
type ProbedLink struct {
	To     string `json:"to"`
	Path   string `json:"path,omitempty"`
	NVLink *bool  `json:"nvlink,omitempty"`
}

// EngineView is what an engine that is installed here sees itself.
type EngineView struct {
	Engine  string       `json:"engine"`
	State   string       `json:"state" enum:"ok,unsupported,denied,absent,stale"`
	Reason  string       `json:"reason,omitempty"`
	Devices []SeenDevice `json:"devices"`
	// Differences say where its view is another than the inventory's.
	Differences []string `json:"differences"`
}

// SeenDevice is a device as an engine sees it.
type SeenDevice struct {
	Name  string `json:"name"`
	Total int64  `json:"total_bytes"`
	Free  int64  `json:"free_bytes"`
}

func probeHardware(opts Options) Tool {
	return define(Tool{
		Name: "probe_hardware", Title: "Probe this machine", Toolset: HardwareSet,
		Description: "This machine's accelerators: memory, telemetry, drivers, and why a value is missing (fields). " +
			"Plan on it with hardware \"local\".",
	}, func(ctx context.Context, q ProbeQuery) (*HardwareProbe, error) {
		if q.Seconds <= 0 {
			inv, err := opts.Machine.Now(ctx)
			if err != nil {
				return nil, err
			}
			return q.answer(ctx, opts, inv, nil), nil
		}
		inv, w, err := opts.Machine.Watch(ctx, time.Duration(q.Seconds)*time.Second)
		if err != nil {
			return nil, err
		}
		return q.answer(ctx, opts, inv, w), nil
	})
}

// answer is the answer for an inventory and for what was seen in w. In full it
// asks the engines that are installed too.
func (q ProbeQuery) answer(ctx context.Context, opts Options, inv *probe.Inventory, w *probe.Window) *HardwareProbe {
	full := q.Detail == "full"
	out := newProbe(inv, w, full)
	if full {
		for _, v := range opts.Machine.Engines(ctx) {
			out.Host.Engines = append(out.Host.Engines, engineView(&v, inv))
		}
	}
	return out
}

// newProbe describes an inventory, and what was seen in w unless it is nil.
func newProbe(inv *probe.Inventory, w *probe.Window, full bool) *HardwareProbe {
	out := &HardwareProbe{Devices: []ProbedDevice{}, Sources: []ProbeSource{}, Host: probedHost(&inv.Host, full)}
	for i := range inv.Devices {
		d := probedDevice(&inv.Devices[i], full)
		if full {
			d.Links = linksOf(d.ID, inv.Links)
		}
		if w != nil {
			d.Sampled = map[string]SampleSummary{}
			for name, s := range w.Devices[d.ID] {
				d.Sampled[name] = SampleSummary{Min: s.Min, Mean: s.Mean, Max: s.Max, Samples: s.Samples, Seconds: w.Took.Seconds()}
			}
		}
		out.Devices = append(out.Devices, d)
	}
	for _, s := range inv.Sources {
		if full || s.State != probe.Absent || s.Hint != "" {
			out.Sources = append(out.Sources, ProbeSource{Name: s.Name, State: string(s.State), Reason: s.Reason, Hint: s.Hint, TookMS: ms(s.Took)})
		}
	}
	return out
}

func engineView(v *probe.View, inv *probe.Inventory) EngineView {
	e := EngineView{Engine: v.Engine, State: string(v.State), Reason: v.Reason, Devices: []SeenDevice{}, Differences: append([]string{}, v.Against(inv)...)}
	for _, s := range v.Devices {
		e.Devices = append(e.Devices, SeenDevice(s))
	}
	return e
}

// linksOf lists the ways from a device to others.
func linksOf(id string, links []probe.Link) []ProbedLink {
	var out []ProbedLink
	for _, l := range links {
		switch id {
		case l.A:
			out = append(out, ProbedLink{To: l.B, Path: l.Path, NVLink: value(l.NVLink)})
		case l.B:
			out = append(out, ProbedLink{To: l.A, Path: l.Path, NVLink: value(l.NVLink)})
		}
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
