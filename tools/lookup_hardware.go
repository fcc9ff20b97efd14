package tools

import (
	"context"
	"fmt"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/hardware"
)

// HardwareQuery is the input of lookup_hardware.
type HardwareQuery struct {
	Name           string  `json:"name,omitempty" doc:"Accelerator, or part of its name: \"H100\", \"RTX 4090\", \"M3 Max 64GB\". All words must match; case and spelling of GB do not matter." alias:"hardware,gpu,query,accelerator,model,device"`
	Vendor         string  `json:"vendor,omitempty" enum:"nvidia,amd,apple,intel,google,aws,huawei" doc:"Maker." alias:"brand,manufacturer"`
	Class          string  `json:"class,omitempty" enum:"datacenter,workstation,consumer,unified" doc:"unified is one memory for CPU and GPU." alias:"type,kind,category"`
	MinMemoryBytes int64   `json:"min_memory_bytes,omitempty" doc:"Least memory of one device." min:"0" alias:"min_memory,min_vram,memory_bytes"`
	MaxMemoryBytes int64   `json:"max_memory_bytes,omitempty" doc:"Most memory of one device." min:"0" alias:"max_memory,max_vram"`
	MinBandwidth   float64 `json:"min_bandwidth_gb_per_second,omitempty" doc:"Least memory bandwidth, 10^9 bytes/s." min:"0" alias:"min_bandwidth,bandwidth"`
	Limit          int     `json:"limit,omitempty" doc:"Most entries to return." min:"1" max:"200" default:"20" alias:"max_results,top_k,count"`
}

// HardwareList is the output of lookup_hardware.
type HardwareList struct {
	Hardware []AcceleratorInfo `json:"hardware"`
	// Matches counts all matches, of which Hardware may be the first.
	Matches int `json:"matches"`
}

// AcceleratorInfo is one accelerator. What is not known is left out.
type AcceleratorInfo struct {
	Name       string `json:"name"`
	Vendor     string `json:"vendor"`
	Class      string `json:"class"`
	MemoryKind string `json:"memory_kind"`
	Devices    int    `json:"devices"`
	// TotalBytes is what the driver reports, UsableBytes what one process of
	// an idle device can have.
	TotalBytes  int64       `json:"total_bytes"`
	UsableBytes int64       `json:"usable_bytes"`
	SizesBytes  []int64     `json:"sizes_bytes,omitempty"`
	Bandwidth   float64     `json:"bandwidth_gb_per_second,omitempty"`
	FP16Tflops  float64     `json:"fp16_tflops,omitempty"`
	FP8Tflops   float64     `json:"fp8_tflops,omitempty"`
	FP4Tflops   float64     `json:"fp4_tflops,omitempty"`
	TDPWatts    float64     `json:"tdp_watts,omitempty"`
	Arch        string      `json:"arch,omitempty"`
	Interconn   string      `json:"interconnect,omitempty"`
	USDPerHour  float64     `json:"usd_per_hour,omitempty"`
	PriceDate   string      `json:"price_date,omitempty"`
	PriceSource string      `json:"price_source,omitempty"`
	KnownBy     SpecSources `json:"known_by"`
	Notes       string      `json:"notes,omitempty"`
}

// SpecSources say how figures are known.
type SpecSources struct {
	Total  string `json:"total_bytes"`
	Usable string `json:"usable_bytes"`
	Rates  string `json:"rates"`
}

func lookupHardware(Options) Tool {
	return define(Tool{
		Name: "lookup_hardware", Title: "Look up accelerators", Toolset: HardwareSet,
		Description: "Finds accelerators in the embedded catalogue: memory as the driver reports it and as a process can use it (bytes), bandwidth, dense TFLOPS and cloud price with its date, each with how it is known. " +
			"Use it to check a name or to choose hardware by memory, bandwidth or maker; without arguments it lists the catalogue. " +
			"Pass a returned name as plan_memory's hardware, with a count in front for several (\"2x H100 SXM5 80GB\").",
	}, findHardware)
}

func findHardware(_ context.Context, q HardwareQuery) (*HardwareList, error) {
	found, err := hardware.Lookup(q.Name, hardware.Filter{
		Vendor: q.Vendor, Class: q.Class,
		MinMemory: engine.Bytes(q.MinMemoryBytes), MaxMemory: engine.Bytes(q.MaxMemoryBytes), MinBandwidthGBs: q.MinBandwidth,
	})
	if err != nil {
		return nil, rename(err, "hardware", "name")
	}
	if q.Limit == 0 {
		q.Limit = 20
	}
	out := &HardwareList{Hardware: []AcceleratorInfo{}, Matches: len(found)}
	for i := range min(q.Limit, len(found)) {
		out.Hardware = append(out.Hardware, acceleratorInfo(&found[i]))
	}
	return out, nil
}

func acceleratorInfo(a *hardware.Accelerator) AcceleratorInfo {
	i := AcceleratorInfo{
		Name: a.Name, Vendor: a.Vendor, Class: a.Class, MemoryKind: string(a.Kind), Devices: a.Devices,
		TotalBytes: int64(a.Total), UsableBytes: int64(a.Usable),
		Bandwidth: a.BandwidthGBs, FP16Tflops: a.FP16Tflops, FP8Tflops: a.FP8Tflops, FP4Tflops: a.FP4Tflops,
		TDPWatts: a.TDPWatts, Arch: a.Arch, Interconn: a.Interconnect,
		USDPerHour: a.USDPerHour, PriceDate: a.PriceDate, PriceSource: a.PriceSource, Notes: a.Notes,
		KnownBy: SpecSources{Total: string(a.TotalBasis), Usable: string(a.UsableBasis), Rates: string(a.SpecBasis)},
	}
	for _, gb := range a.SizesGB {
		i.SizesBytes = append(i.SizesBytes, gb*int64(engine.GiB))
	}
	return i
}

// Text lists the first few.
func (l *HardwareList) Text() string {
	const most = 12
	if len(l.Hardware) == 0 {
		return "No accelerator matches. Next: widen the filters, or plan with {\"memory_bytes\": …}.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n", plural(l.Matches, "match", "matches"))
	for i, a := range l.Hardware {
		if i == most {
			fmt.Fprintf(&b, "… and %d more.\n", l.Matches-most)
			break
		}
		fmt.Fprintf(&b, "%s: %s, %s usable", a.Name, engine.Bytes(a.TotalBytes), engine.Bytes(a.UsableBytes))
		if n := len(a.SizesBytes); n > 1 {
			fmt.Fprintf(&b, " (sold with %s to %s)", engine.Bytes(a.SizesBytes[0]), engine.Bytes(a.SizesBytes[n-1]))
		}
		if a.Devices > 1 {
			fmt.Fprintf(&b, " on each of %d devices", a.Devices)
		}
		if a.Bandwidth > 0 {
			fmt.Fprintf(&b, ", %.0f GB/s", a.Bandwidth)
		}
		if a.USDPerHour > 0 {
			fmt.Fprintf(&b, ", $%.2f/h on %s", a.USDPerHour, a.PriceDate)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "Next: plan_memory with hardware %q.\n", l.Hardware[0].Name)
	return b.String()
}
