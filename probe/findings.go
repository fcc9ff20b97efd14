package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Finding is something that keeps a machine from being used or measured in
// full, and what to do about it.
type Finding struct {
	Problem, Fix string
}

// Findings lists what is wrong or missing on a machine, the gravest first.
func Findings(inv *Inventory) []Finding {
	var out []Finding
	add := func(problem, fix string) {
		f := Finding{problem, fix}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for _, s := range inv.Sources {
		if s.Hint != "" {
			add(s.Name+": "+s.Reason, s.Hint)
		}
	}
	planned := 0
	for i := range inv.Devices {
		d := &inv.Devices[i]
		switch {
		case d.Excluded == "":
			planned++
			if !d.Free.Known() {
				add(fmt.Sprintf("%s: what is free is unknown (%s)", d.Name.Or(d.ID), d.Free.Reason), "plans take it as empty")
			}
		case d.Excluded == noDriver && d.Kind != Shared:
			add(fmt.Sprintf("%s is there, and %s", d.Name.Or(d.ID), d.Excluded), driverFor(d.Vendor))
		}
		if d.MIG.Value == "enabled" && !slices.ContainsFunc(inv.Devices, func(p Device) bool { return p.Parent == d.ID }) {
			add(fmt.Sprintf("%s: MIG is on, and there is no instance", d.Name.Or(d.ID)), "make instances (nvidia-smi mig -cgi … -C) or switch MIG off")
		}
		if d.LinkWidth.Known() && d.MaxWidth.Known() && d.LinkWidth.Value < d.MaxWidth.Value {
			add(fmt.Sprintf("%s runs on %d of its %d PCIe lanes", d.Name.Or(d.ID), d.LinkWidth.Value, d.MaxWidth.Value), "it loads models and shares layers slower: look at its slot")
		}
	}
	if planned == 0 {
		add("no accelerator can be planned on", "plans with hardware local are for the processor and system memory")
	}
	h := &inv.Host
	if h.Limit.Known() && h.Total.Known() && h.Limit.Value < h.Total.Value {
		add("control groups limit this process to a part of memory", "start it with a higher limit where models need more")
	}
	if h.HugePagesFree.Value > 1<<30 {
		add("memory is set aside for huge pages that nobody uses", "it does not count as available; lower vm.nr_hugepages")
	}
	for _, d := range h.Disks {
		if d.Remote.Value {
			add("the models of "+d.Role+" are on a "+d.FileSystem.Value+" file system", "loading and mapping them is slow: keep them on a local disk")
		}
	}
	return out
}

// driverFor says what to install for a maker's cards.
func driverFor(vendor string) string {
	return map[string]string{
		"nvidia": "install the NVIDIA driver; in a container start it with --gpus all",
		"amd":    "load the amdgpu driver; in a container start it with --device /dev/kfd --device /dev/dri",
		"intel":  "install xpu-smi, which tells memory of Intel's cards",
	}[strings.ToLower(vendor)]
}

// Engines asks the engines that are installed here what they see.
func (s *Sampler) Engines(ctx context.Context) []View {
	v := LlamaServer(ctx, s.prober.sys, "llama-server")
	if v.State == Absent {
		return nil
	}
	return []View{v}
}
