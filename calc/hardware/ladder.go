package hardware

import (
	"cmp"
	"fmt"
	"slices"

	"hwledger/calc/engine"
)

// Rung is a number of equal accelerators.
type Rung struct {
	// Name is what Parse reads: "2x RTX 4090".
	Name          string
	Vendor, Class string
	Count         int
	Devices       []engine.Device
	// Memory is usable memory of all of them.
	Memory engine.Bytes
	// USDPerHour is the cloud price of all of them, 0 when none is recorded.
	USDPerHour float64
}

// ladderCounts are the numbers of accelerators that machines are built with.
var ladderCounts = [...]int{1, 2, 4, 8}

// Ladder lists machines of the catalogue, each accelerator in the numbers that
// machines are built with and unified systems in each size they are sold in,
// the least memory first.
func Ladder() []Rung {
	var out []Rung
	all := All()
	for i := range all {
		a := &all[i]
		if a.Kind == engine.Unified {
			if len(a.SizesGB) == 0 {
				out = append(out, rung(*a, 1))
			}
			for _, gb := range a.SizesGB {
				out = append(out, rung(a.sized(gb), 1))
			}
			continue
		}
		for _, n := range ladderCounts {
			out = append(out, rung(*a, n))
		}
	}
	slices.SortStableFunc(out, func(a, b Rung) int { return cmp.Compare(a.Memory, b.Memory) })
	return out
}

func rung(a Accelerator, n int) Rung {
	r := Rung{Name: a.Name, Vendor: a.Vendor, Class: a.Class, Count: n, Devices: repeat(a.Device(), n*max(1, a.Devices)), USDPerHour: a.USDPerHour * float64(n)}
	if n > 1 {
		r.Name = fmt.Sprintf("%dx %s", n, a.Name)
	}
	for _, d := range r.Devices {
		r.Memory += d.Usable
	}
	return r
}

// ByPrice orders a ladder by price, the cheapest first; what has no recorded
// price is left out.
func ByPrice(ladder []Rung) []Rung {
	priced := slices.DeleteFunc(slices.Clone(ladder), func(r Rung) bool { return r.USDPerHour == 0 })
	slices.SortStableFunc(priced, func(a, b Rung) int { return cmp.Compare(a.USDPerHour, b.USDPerHour) })
	return priced
}
