package tools

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/hardware"
	"hwledger/calc/model"
	"hwledger/probe"
	"hwledger/sidecar"
)

// localHardware is this machine as a plan takes it: the devices that can be
// planned on with what is free on them and not promised to sidecars that are
// starting, or with all of it when empty; the processor when there is none. What
// starts here took comes with it.
func localHardware(ctx context.Context, opts Options, empty bool) (engine.Hardware, error) {
	inv, err := opts.Machine.Now(ctx)
	if err != nil {
		return engine.Hardware{}, err
	}
	var pools []sidecar.Pool
	if !empty && opts.Sidecars.ready() == nil {
		if pools, err = opts.Sidecars.Manager.Free(ctx); err != nil {
			return engine.Hardware{}, err
		}
	}
	hw := engine.Hardware{History: engine.History{Took: opts.history(ctx)}}
	for _, d := range usable(inv) {
		planned := plannedDevice(d, &inv.Host, empty)
		limit(&planned, pools, pool(d))
		hw.Devices = append(hw.Devices, planned)
	}
	if hw.Host = plannedHost(&inv.Host, empty); hw.Host != nil {
		limit(hw.Host, pools, sidecar.HostPool)
	}
	if len(hw.Devices) > 0 {
		return hw, nil
	}
	if hw.Host == nil {
		return hw, model.Errorf(model.HardwareNotFound, "hardware", "neither an accelerator nor the system says how much memory it has").
			WithHint(`hwledger-mcp doctor says why; name the accelerator ("RTX 4090") or give {"memory_bytes": 25757220864}`)
	}
	hw.Devices = []engine.Device{processor(hw.Host)}
	hw.Devices[0].Name = inv.Host.CPU.Or(hw.Devices[0].Name)
	return hw, nil
}

// processor is what computes where there is no accelerator, in the system's
// memory.
func processor(host *engine.Device) engine.Device {
	cpu := *host
	cpu.Name, cpu.Vendor, cpu.Kind = "processor", "cpu", engine.Unified
	return cpu
}

// localNotes says what a plan on this machine leaves out, and why.
func localNotes(ctx context.Context, opts Options, empty bool) []string {
	inv, err := opts.Machine.Now(ctx)
	if err != nil {
		return nil
	}
	var out, makers []string
	if !empty && opts.Sidecars.ready() == nil && slices.ContainsFunc(opts.Sidecars.Manager.List(), func(s *sidecar.Status) bool { return s.State == sidecar.Starting }) {
		out = append(out, "what is promised to sidecars that are starting is not counted as free")
	}
	used := 0
	for i := range inv.Devices {
		d := &inv.Devices[i]
		switch {
		case d.Excluded != "":
			out = append(out, fmt.Sprintf("%s is left out: %s", d.Name.Or(d.ID), d.Excluded))
		case !d.Free.Known():
			used++
			out = append(out, fmt.Sprintf("%s does not say what is free: planned as empty", d.Name.Or(d.ID)))
		case d.Free.State == probe.Stale:
			used++
			out = append(out, fmt.Sprintf("%s: what is free is the last value known (%s)", d.Name.Or(d.ID), d.Free.Reason))
		default:
			used++
		}
		if d.Excluded == "" && !slices.Contains(makers, d.Vendor) {
			makers = append(makers, d.Vendor)
		}
	}
	if len(makers) > 1 {
		out = append(out, "the devices are of several makers ("+strings.Join(makers, ", ")+"): most engines use those of one")
	}
	if used == 0 {
		out = append([]string{"no accelerator can be planned on: this is a plan for the processor and system memory"}, out...)
	}
	return out
}

// ThisMachine samples the machine that the program runs on.
func ThisMachine() *probe.Sampler {
	sys := probe.Local()
	sys.GPULimit = func(chip string, total int64) int64 { return int64(hardware.AppleLimit(chip, engine.Bytes(total))) }
	return probe.NewSampler(probe.New(sys))
}

// plannedDevice is a device with its rates from the catalogue, which engines'
// rules were held against; the driver's own where it is not listed. Of unified
// memory Free is the system's, as engines' shares of it are taken from that,
// and Usable the device's part.
func plannedDevice(d *probe.Device, h *probe.Host, empty bool) engine.Device {
	total := max(0, d.Total.Value-d.Reserved.Or(0))
	limit := min(total, d.Limit.Or(total))
	out := engine.Device{
		Name: d.Name.Or(d.ID), Vendor: d.Vendor, Kind: engine.MemoryKind(d.Kind), Arch: d.Capability.Or(""), Bandwidth: d.Bandwidth.Or(0),
	}
	if a, ok := identify(d); ok && d.Parent == "" { // a part of a card has a part of its rates
		c := a.Device()
		out.Bandwidth, out.Flops = c.Bandwidth, c.Flops
		if out.Arch == "" {
			out.Arch = c.Arch
		}
		switch { // what the driver keeps is not told
		case d.Reserved.Known():
		case d.Kind == probe.Dedicated:
			total = min(total, int64(c.Total))
			limit = min(limit, total)
		case d.Vendor == "nvidia" && a.Total > 0:
			limit = min(limit, int64(float64(total)*float64(a.Usable)/float64(a.Total)))
		}
	}
	free := min(d.Free.Or(limit), total)
	if empty {
		free = total
	}
	out.Total, out.Free, out.Usable = engine.Bytes(total), engine.Bytes(free), engine.Bytes(min(free, limit))
	if d.Kind == probe.Unified && !empty {
		out.Free = engine.Bytes(min(max(free, h.Usable.Or(0)), total))
	}
	return out
}

func plannedHost(h *probe.Host, empty bool) *engine.Device {
	if !h.Total.Known() {
		return nil
	}
	total := min(h.Total.Value, h.Limit.Or(math.MaxInt64))
	free := min(total, h.Usable.Or(total))
	if empty {
		free = total
	}
	return &engine.Device{Name: "system memory", Kind: engine.Shared, Total: engine.Bytes(total), Free: engine.Bytes(free), Usable: engine.Bytes(free)}
}

// identify finds a device in the catalogue by the name its driver has for it,
// and among cards of one name by its memory.
func identify(d *probe.Device) (*hardware.Accelerator, bool) {
	if !d.Name.Known() {
		return nil, false
	}
	total := d.Total.Or(0)
	near := func(a *hardware.Accelerator) bool {
		return total == 0 || d.Parent != "" || math.Abs(float64(int64(a.Total)-total)) < 0.12*float64(total)
	}
	a, err := hardware.Find(d.Name.Value)
	if err == nil {
		return &a, near(&a)
	}
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.InvalidArgument {
		return nil, false
	}
	var found []hardware.Accelerator
	for _, name := range e.Candidates {
		if a, err := hardware.Find(name); err == nil && total > 0 && near(&a) {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, false
	}
	best := slices.MinFunc(found, func(a, b hardware.Accelerator) int {
		gap := func(x hardware.Accelerator) float64 { return math.Abs(float64(int64(x.Total) - total)) }
		switch x, y := gap(a), gap(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return &best, true
}

// bandwidth is the device's memory bandwidth with where it is known from: its
// own counters, else the catalogue.
func bandwidth(d *probe.Device) probe.Field[float64] {
	if d.Bandwidth.Known() {
		return d.Bandwidth
	}
	if a, ok := identify(d); ok && a.BandwidthGBs > 0 && d.Parent == "" {
		return probe.Field[float64]{Value: a.BandwidthGBs * 1e9, Note: probe.Note{State: probe.OK, Source: "catalogue", Reason: string(a.SpecBasis)}}
	}
	return d.Bandwidth
}
