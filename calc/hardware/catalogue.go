// Package hardware is the catalogue of accelerators: how much memory the
// driver reports, how much of it a process can have, bandwidth and arithmetic
// rates, each with how it is known; and the reader of what people write for
// hardware ("2x H100-80GB", "M3 Max 64GB").
package hardware

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"hwledger/calc/engine"
)

//go:embed accelerators.tsv
var table string

// Basis says how a figure is known.
type Basis string

// The bases, surest first.
const (
	Observed  Basis = "observed"  // printed by a driver, a runtime or an engine
	Listed    Basis = "listed"    // in published tables of other projects
	Derived   Basis = "derived"   // from an observed figure of a sister card or a vendor's rule
	Recalled  Basis = "recalled"  // from the vendor's data sheet, from memory
	Nominal   Basis = "nominal"   // the size on the box
	Estimated Basis = "estimated" // a rule over similar cards
)

// Accelerator is one entry of the catalogue. Zero means unknown. Figures are
// for one device as the system sees it; a board with two dies is two devices.
type Accelerator struct {
	Name, Vendor string
	Class        string // datacenter, workstation, consumer, unified
	Kind         engine.MemoryKind
	Aliases      []string
	Devices      int // devices on one board

	NominalGB float64
	// Total is what the vendor's tool reports (nvidia-smi, rocm-smi); Usable
	// is what the compute runtime gives one process of an idle device.
	Total, Usable           engine.Bytes
	TotalBasis, UsableBasis Basis
	// SizesGB are the memory sizes that a unified chip is sold with.
	SizesGB []int64

	BandwidthGBs                                 float64 // 10⁹ bytes/s
	FP16Tflops, FP8Tflops, FP4Tflops, FP32Tflops float64 // dense
	TDPWatts                                     float64
	Arch                                         string // compute capability or architecture
	Interconnect                                 string
	// SpecBasis holds for bandwidth, rates and power.
	SpecBasis Basis

	USDPerHour             float64
	PriceDate, PriceSource string
	Notes                  string

	spellings []spelling // of the name and of every alias
}

// spelling is a name cut into words, its memory size apart.
type spelling struct {
	words []string
	gb    int64 // 0 when the name has none
}

func spell(name string) spelling {
	gb, words := cutSize(tokens(name))
	return spelling{words, gb}
}

// The columns of accelerators.tsv.
const (
	colName = iota
	colAliases
	colVendor
	colClass
	colKind
	colDevices
	colNominal
	colTotal
	colTotalBasis
	colUsable
	colUsableBasis
	colBandwidth
	colFP16
	colFP8
	colFP4
	colFP32
	colTDP
	colArch
	colInterconnect
	colSpecBasis
	colPrice
	colPriceDate
	colPriceSource
	colSizes
	colNotes
	columns
)

// All returns the catalogue in its order. The slice is shared: do not change
// it.
var All = sync.OnceValue(func() []Accelerator {
	lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
	out := make([]Accelerator, 0, len(lines))
	for _, line := range lines[1:] {
		if f := strings.Split(line, "\t"); len(f) == columns {
			out = append(out, decode(f))
		}
	}
	return out
})

func decode(f []string) Accelerator {
	num := func(c int) float64 { v, _ := strconv.ParseFloat(f[c], 64); return v }
	bytes := func(c int) engine.Bytes { v, _ := strconv.ParseInt(f[c], 10, 64); return engine.Bytes(v) }
	a := Accelerator{
		Name: f[colName], Vendor: f[colVendor], Class: f[colClass], Kind: engine.MemoryKind(f[colKind]),
		Devices: int(num(colDevices)), NominalGB: num(colNominal),
		Total: bytes(colTotal), TotalBasis: Basis(f[colTotalBasis]),
		Usable: bytes(colUsable), UsableBasis: Basis(f[colUsableBasis]),
		BandwidthGBs: num(colBandwidth), FP16Tflops: num(colFP16), FP8Tflops: num(colFP8), FP4Tflops: num(colFP4), FP32Tflops: num(colFP32),
		TDPWatts: num(colTDP), Arch: f[colArch], Interconnect: f[colInterconnect], SpecBasis: Basis(f[colSpecBasis]),
		USDPerHour: num(colPrice), PriceDate: f[colPriceDate], PriceSource: f[colPriceSource], Notes: f[colNotes],
	}
	for _, s := range strings.Fields(f[colSizes]) {
		n, _ := strconv.ParseInt(s, 10, 64)
		a.SizesGB = append(a.SizesGB, n)
	}
	a.spellings = []spelling{spell(a.Name)}
	if f[colAliases] != "" {
		a.Aliases = strings.Split(f[colAliases], "|")
		for _, s := range a.Aliases {
			a.spellings = append(a.spellings, spell(s))
		}
	}
	if a.Usable == 0 {
		a.setUsable()
	}
	return a
}

// usable estimates what one process can have of total bytes.
//
// Apple: Metal's recommendedMaxWorkingSetSize. Machines before the M4 printed
// two thirds of memory up to 32 GB and three quarters above under the macOS
// they came with (16, 32, 36, 64 and 96 GB); appleUsable has what later ones
// print. NVIDIA cards: the CUDA total is 0.6 to 2.9 % under the one nvidia-smi
// prints on the fifteen cards where both are known, 1.4 % in the middle; where
// it shares the system's memory (GB10), vLLM started with 95 % of what CUDA
// calls the total, for which that much has to be free. AMD: three quarters,
// the most that Variable Graphics Memory carves out on Windows (96 of 128 GB),
// and what ttm.pages_limit is set to on Linux, whose default of carve-out and
// GTT together is half of memory.
func usable(vendor string, kind engine.MemoryKind, total engine.Bytes) (engine.Bytes, Basis) {
	switch {
	case vendor == "apple" && total <= 32*engine.GiB:
		return total / 3 * 2, Derived
	case vendor == "apple":
		return total / 4 * 3, Derived
	case kind == engine.Unified && vendor == "nvidia":
		return total / 100 * 95, Derived
	case kind == engine.Unified && total <= 130*engine.GiB:
		return total / 4 * 3, Estimated
	case vendor == "nvidia":
		return total - total*14/1000, Estimated
	}
	return total, Estimated
}

// AppleLimit estimates what the GPU of an Apple chip ("Apple M4 Max") may have
// of total bytes, where no limit was set.
func AppleLimit(chip string, total engine.Bytes) engine.Bytes {
	if n, ok := appleUsable(chip, total); ok {
		return n
	}
	n, _ := usable("apple", engine.Unified, total)
	return n
}

// appleUsable returns what Metal recommends on chips that came with macOS 15
// or later: 0.74 of memory up to 24 GB, 0.78 up to 48 (24.96 GiB of 32, 37.44
// of 48), 0.81 up to 96 (51.84 of 64), 0.84 of 128 (107.52); all but 48 GiB
// above (208 of 256, 464 of 512). Steps between the named sizes are inferred.
// Older chips print more than the old shares under a later macOS too (an M1
// Max 51.84 of 64). sysctl iogpu.wired_limit_mb raises it.
func appleUsable(name string, total engine.Bytes) (engine.Bytes, bool) {
	late := strings.Contains(name, "M4") || strings.Contains(name, "M5") || strings.Contains(name, "M3 Ultra")
	switch {
	case !late:
		return 0, false
	case total > 128*engine.GiB:
		return total - 48*engine.GiB, true
	case total > 96*engine.GiB:
		return total / 100 * 84, true
	case total > 48*engine.GiB:
		return total / 100 * 81, true
	case total > 24*engine.GiB:
		return total / 100 * 78, true
	}
	return total / 100 * 74, true
}

// setUsable fills what one process can have of the accelerator's memory.
func (a *Accelerator) setUsable() {
	a.Usable, a.UsableBasis = usable(a.Vendor, a.Kind, a.Total)
	if a.Vendor == "apple" {
		if n, ok := appleUsable(a.Name, a.Total); ok {
			a.Usable = n
		}
	}
}

// Device returns one idle device of the accelerator for a plan. The total of
// a card is what the compute runtime calls so (cudaMemGetInfo), because that
// is what engines take their share of; vendors' tools print a little more.
func (a *Accelerator) Device() engine.Device {
	total := a.Total
	if a.Kind == engine.Dedicated {
		total = a.Usable
	}
	flops := a.FP16Tflops
	if flops == 0 {
		flops = a.FP32Tflops
	}
	return engine.Device{
		Name: a.Name, Vendor: a.Vendor, Kind: a.Kind, Arch: a.Arch,
		Total: total, Free: total, Usable: a.Usable,
		Bandwidth: a.BandwidthGBs * 1e9, Flops: flops * 1e12, FlopsFP8: a.FP8Tflops * 1e12,
	}
}

// sized returns a with the memory of a machine of gb gigabytes, which Apple
// and the makers of unified systems count in GiB.
func (a *Accelerator) sized(gb int64) Accelerator {
	b := *a
	b.Name = a.Name + " " + strconv.FormatInt(gb, 10) + "GB"
	b.NominalGB = float64(gb)
	b.Total = engine.Bytes(gb) * engine.GiB
	b.setUsable()
	return b
}
