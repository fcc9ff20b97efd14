package probe

import (
	"fmt"
	"slices"
	"strings"
)

// Reasons for which plans leave a device out.
const (
	noDriver   = "no driver reports its memory"
	parentCard = "it is divided into MIG devices, which are planned on instead"
	besideCard = "an integrated GPU beside a card with memory of its own"
	isLost     = "the driver has lost it"
	isAsleep   = "it is suspended, and was not woken"
)

// settle completes what follows from several sources together.
func settle(inv *Inventory) {
	for i := range inv.Devices {
		d := &inv.Devices[i]
		if d.Kind == "" {
			d.Kind = Unknown
		}
		d.unify(&inv.Host)
		d.available(&inv.Host)
		if d.Excluded == "" && !d.Total.Known() {
			d.Excluded = noDriver
		}
		d.explain()
	}
	card := slices.ContainsFunc(inv.Devices, func(d Device) bool { return d.Excluded == "" && d.Kind == Dedicated })
	for i := range inv.Devices {
		d := &inv.Devices[i]
		if card && d.Excluded == "" && d.beside() {
			d.Excluded = besideCard
		}
	}
}

// explain gives what a person looks for first a reason where no source was
// asked for it.
func (d *Device) explain() {
	const why = "no source that answers here reports it"
	for _, f := range []slot{&d.Name, &d.Total, &d.Used, &d.Free, &d.Utilization, &d.Temperature, &d.Power, &d.Driver, &d.Processes} {
		if n := f.note(); n.State == "" {
			*n = Note{State: Absent, Reason: why}
		}
	}
}

// unify gives a unified device that does not report memory, or NVIDIA's that
// report a fraction of it (8 GiB of an N1X), the system's: all of it is the
// device's.
func (d *Device) unify(h *Host) {
	tells := d.Total.Known() && !(d.Vendor == "nvidia" && h.Total.Known() && d.Total.Value < h.Total.Value/2)
	if d.Kind != Unified || tells {
		return
	}
	const source = "host"
	if h.Total.Known() {
		d.Total = Field[int64]{h.Total.Value, Note{OK, source, "one memory with the system, which the driver does not report in full"}}
	}
	if h.Usable.Known() {
		d.Free = Field[int64]{h.Usable.Value, Note{OK, source, "what the system has available"}}
	}
}

// available fills Free from what else is known, and holds what is the system's
// memory to what the system has of it: a driver may be let map more than there
// is.
func (d *Device) available(h *Host) {
	if d.apart > 0 && d.Total.Known() && h.Total.Known() && d.Total.Value-d.apart > h.Total.Value {
		d.Total.Value = d.apart + h.Total.Value
		d.Total.Reason = fmt.Sprintf("%d bytes set aside by the firmware and all of the system's: the driver may map more than there is", d.apart)
	}
	if !d.Free.Known() && d.Total.Known() && d.Used.Known() {
		from := d.Total.Value - d.Reserved.Or(0)
		if d.Limit.Known() {
			from = min(from, d.Limit.Value)
		}
		d.Free = Field[int64]{max(0, from-d.Used.Value), Note{d.Used.State, d.Used.Source, "total less used"}}
	}
	if d.Kind != Unified && d.Kind != Shared || !d.Free.Known() || !h.Usable.Known() {
		return
	}
	if most := max(0, d.apart-d.apartUsed) + h.Usable.Value; most < d.Free.Value {
		d.Free.Value, d.Free.Source = most, "host"
		d.Free.Reason = "no more is available in the system"
	}
}

// beside reports whether a device is graphics that ride along with a
// processor. Strix Halo's are not: they are what its buyers run models on.
func (d *Device) beside() bool {
	name := d.Name.Or("")
	halo := d.Capability.Value == "gfx1151" || strings.Contains(name, "8060S") || strings.Contains(name, "8050S")
	return d.Kind == Shared || d.Kind == Unified && d.Vendor == "amd" && !halo
}
