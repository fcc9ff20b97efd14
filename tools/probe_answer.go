package tools

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
	"hwledger/probe"
)

// value is a field's value, nil when it is not known.
func value[T any](f probe.Field[T]) *T {
	if !f.Known() {
		return nil
	}
	v := f.Value
	return &v
}

func probedDevice(d *probe.Device, full bool) ProbedDevice {
	speed := bandwidth(d)
	out := ProbedDevice{
		ID: d.ID, Name: d.Name.Or(""), Vendor: d.Vendor, MemoryKind: string(d.Kind), PCI: d.PCI, Parent: d.Parent,
		Planned: d.Excluded == "", Excluded: d.Excluded,
		Total: value(d.Total), Reserved: value(d.Reserved), Used: value(d.Used), Free: value(d.Free), Limit: value(d.Limit), Bandwidth: value(speed),
		Utilization: value(d.Utilization), MemoryBusy: value(d.MemoryBusy), Temperature: value(d.Temperature), MemoryTemp: value(d.MemoryTemperature),
		Power: value(d.Power), PowerLimit: value(d.PowerLimit), Energy: value(d.Energy),
		Driver: value(d.Driver), Runtime: value(d.Runtime), Capability: value(d.Capability), MIG: value(d.MIG), Addressing: value(d.Addressing),
		LinkGen: value(d.LinkGeneration), LinkWidth: value(d.LinkWidth), MaxLinkGen: value(d.MaxLinkGen), MaxWidth: value(d.MaxWidth),
		NUMANode: value(d.NUMANode), NVLinks: value(d.NVLinks),
	}
	if d.Index >= 0 {
		i := d.Index
		out.Index = &i
	}
	if full {
		for _, p := range d.Processes.Or(nil) {
			out.Processes = append(out.Processes, ProbedProcess{PID: p.PID, Used: value(p.Used)})
		}
	}
	all := d.Notes()
	if speed.State != "" {
		all["bandwidth_bytes_per_second"] = speed.Note
	}
	out.Fields = fieldNotes(all, full)
	return out
}

func probedHost(h *probe.Host, full bool) ProbedHost {
	out := ProbedHost{
		OS: h.OS, Arch: h.Arch, Kernel: value(h.Kernel), CPU: value(h.CPU), Cores: value(h.Cores), Threads: value(h.Threads), Quota: value(h.Quota),
		Total: value(h.Total), Available: value(h.Available), Limit: value(h.Limit), Usable: value(h.Usable),
		SwapTotal: value(h.SwapTotal), SwapFree: value(h.SwapFree), HugePagesFree: value(h.HugePagesFree), Memlock: value(h.Memlock),
		Container: value(h.Container), WSL: value(h.WSL), Disks: []ProbedDisk{}, Fields: fieldNotes(h.Notes(), full),
	}
	for _, n := range h.Nodes.Or(nil) {
		out.Nodes = append(out.Nodes, ProbedNode{ID: n.ID, CPUs: n.CPUs, Total: value(n.Total), Free: value(n.Free)})
	}
	for _, d := range h.Disks {
		out.Disks = append(out.Disks, ProbedDisk{Role: d.Role, Path: d.Path, FileSystem: value(d.FileSystem), Remote: value(d.Remote), Total: value(d.Total), Free: value(d.Free)})
	}
	return out
}

// fieldNotes are the notes of all fields when full, else of those that are
// not simply known.
func fieldNotes(all map[string]probe.Note, full bool) map[string]FieldNote {
	out := map[string]FieldNote{}
	for name, n := range all {
		if full || n.State != probe.OK {
			out[name] = FieldNote{State: string(n.State), Source: n.Source, Reason: n.Reason}
		}
	}
	return out
}

// Text is a line for each device, one for the host, and what is missing.
func (p *HardwareProbe) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) {
		s := []rune(fmt.Sprintf(format, args...))
		if len(s) > textLine {
			s = append(s[:textLine], '…')
		}
		b.WriteString(string(s) + "\n")
	}
	if len(p.Devices) == 0 {
		line("No accelerator was found.")
	}
	const most = 16
	for i := range p.Devices {
		if i == most {
			line("… %d more in devices.", len(p.Devices)-most)
			break
		}
		line("%s", p.Devices[i].text())
	}
	line("%s", p.Host.text())
	for _, e := range p.Host.Engines {
		for _, d := range e.Differences {
			line("%s: %s.", e.Engine, d)
		}
	}
	for _, s := range p.Sources {
		if s.Hint != "" && s.State != string(probe.OK) {
			line("%s: %s. To fix: %s.", s.Name, s.Reason, strings.TrimSuffix(s.Hint, "."))
		}
	}
	line("Next: plan_memory with hardware \"local\".")
	return b.String()
}

func (d *ProbedDevice) text() string {
	var b strings.Builder
	name := d.Name
	if name == "" {
		name = d.ID
	}
	fmt.Fprintf(&b, "%s (%s memory): ", name, d.MemoryKind)
	switch {
	case d.Total == nil:
		b.WriteString("memory unknown")
		if n, ok := d.Fields["total_bytes"]; ok && n.Reason != "" {
			fmt.Fprintf(&b, " (%s)", n.Reason)
		}
	case d.Free == nil:
		fmt.Fprintf(&b, "%s, what is free is unknown", engine.Bytes(*d.Total))
	default:
		fmt.Fprintf(&b, "%s free of %s", engine.Bytes(*d.Free), engine.Bytes(*d.Total))
	}
	for _, x := range []struct {
		v      *float64
		format string
	}{{d.Utilization, ", %.0f %% busy"}, {d.Temperature, ", %.0f °C"}, {d.Power, ", %.0f W"}} {
		if x.v != nil {
			fmt.Fprintf(&b, x.format, *x.v)
		}
	}
	if s, ok := d.Sampled["utilization_percent"]; ok {
		fmt.Fprintf(&b, ", %.0f %% busy on average", s.Mean)
	}
	if d.Excluded != "" {
		b.WriteString("; not planned on: " + d.Excluded)
	}
	return b.String() + "."
}

func (h *ProbedHost) text() string {
	var b strings.Builder
	b.WriteString("Host: ")
	if h.CPU != nil {
		b.WriteString(*h.CPU + ", ")
	}
	if h.Total == nil || h.Usable == nil {
		b.WriteString("system memory unknown")
	} else {
		fmt.Fprintf(&b, "%s usable of %s system memory", engine.Bytes(*h.Usable), engine.Bytes(*h.Total))
	}
	if h.Limit != nil {
		fmt.Fprintf(&b, ", limited to %s by control groups", engine.Bytes(*h.Limit))
	}
	for _, d := range h.Disks {
		if d.Free != nil {
			fmt.Fprintf(&b, "; %s free for models (%s)", engine.Bytes(*d.Free), d.Role)
			break
		}
	}
	return b.String() + "."
}
