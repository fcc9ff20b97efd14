package probe

import (
	"cmp"
	"slices"
	"strings"
)

// join puts the devices of all readings into one list: those that two sources
// know are one, and take each field from the first source that knows it.
func join(readings []Reading) []Device {
	var out []Device
	for i := range readings {
		from := len(out) // a source does not list a device twice
		for _, d := range readings[i].Devices {
			at := slices.IndexFunc(out[:from], func(x Device) bool { return same(&x, &d) })
			if at < 0 {
				at = byPlace(out[:from], &d, &readings[i])
			}
			if at < 0 {
				out = append(out, d)
				continue
			}
			out[at].absorb(&d)
		}
	}
	slices.SortStableFunc(out, func(a, b Device) int { return cmp.Compare(a.rank(), b.rank()) })
	return out
}

// same reports whether two descriptions are of one device: by UUID, else by
// place on PCI. A partition is never its card.
func same(a, b *Device) bool {
	if a.Vendor != b.Vendor || a.Parent != b.Parent {
		return false
	}
	if a.UUID != "" && b.UUID != "" {
		return strings.EqualFold(a.UUID, b.UUID)
	}
	return a.PCI != "" && b.PCI != "" && a.PCI == b.PCI
}

// byPlace finds the device that d is when nothing names one of the two: the
// only one of its vendor, where the source lists no more, or the one with its
// number.
func byPlace(list []Device, d *Device, r *Reading) int {
	if d.Parent != "" {
		return -1
	}
	at, n := -1, 0
	for i := range list {
		if list[i].Vendor != d.Vendor || list[i].Parent != "" || d.placed() && list[i].placed() {
			continue
		}
		n++
		if len(r.of(d.Vendor)) == 1 && n == 1 || list[i].Index >= 0 && list[i].Index == d.Index {
			at = i
		}
	}
	if n > 1 && len(r.of(d.Vendor)) == 1 && (at < 0 || list[at].Index != d.Index) {
		return -1
	}
	return at
}

func (d *Device) placed() bool { return d.PCI != "" || d.UUID != "" }

func (r *Reading) of(vendor string) []Device {
	var out []Device
	for _, d := range r.Devices {
		if d.Vendor == vendor {
			out = append(out, d)
		}
	}
	return out
}

// absorb takes from b what d does not know.
func (d *Device) absorb(b *Device) {
	if d.UUID == "" && b.UUID != "" {
		d.UUID, d.ID = b.UUID, b.ID
	}
	if d.PCI == "" && b.PCI != "" {
		if d.PCI = b.PCI; d.UUID == "" {
			d.ID = b.ID
		}
	}
	if d.Index < 0 {
		d.Index = b.Index
	}
	if d.Kind == "" || d.Kind == Unknown {
		d.Kind = b.Kind
	}
	if d.Excluded == "" {
		d.Excluded = b.Excluded
	}
	if !d.Total.Known() {
		d.apart, d.apartUsed = b.apart, b.apartUsed
	}
	mine, theirs := d.slots(), b.slots()
	for i := range mine {
		mine[i].slot.take(theirs[i].slot)
	}
}

// rank orders devices: those with most memory of their own first is not what
// runtimes do, so vendors in a fixed order and the runtime's own numbers.
func (d *Device) rank() int {
	vendors := []string{"nvidia", "amd", "apple", "intel"}
	v := slices.Index(vendors, d.Vendor)
	if v < 0 {
		v = len(vendors)
	}
	i := d.Index
	if i < 0 {
		i = 1 << 10
	}
	return v<<20 | min(i, 1<<15)
}
