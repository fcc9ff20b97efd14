package probe

import (
	"context"
	"time"
)

// Memory is what memory a machine's devices and its system have at one time.
type Memory struct {
	Taken   time.Time
	Devices []DeviceMemory
	// HostTotal is the system's memory and HostUsable what a new process can
	// have of it, control groups included.
	HostTotal, HostUsable Field[int64]
}

// DeviceMemory is the memory of one device, in bytes. Every field may be
// unknown, with the reason; a Stale one is the last value known, of a source
// that does not answer now.
type DeviceMemory struct {
	ID       string // as in Device: a UUID, a PCI address or vendor:number
	UUID     string // "" when the driver has none
	PCI      string // "" when it is not on PCI
	Vendor   string
	Kind     MemoryKind
	Index    int    // the number that the vendor's runtime gives it, -1 when unknown
	Excluded string // why plans leave it out, "" when they do not
	// Total is all of it, Used what all processes and the driver have, Free
	// what an allocation can have now. They need not add up: a driver may keep
	// a part for itself, and unified memory is the system's too.
	Total, Used, Free Field[int64]
	// Processes use the device, see Of. Of NVIDIA's the PID is the host's,
	// which in a container is not the one seen there; a process's Used may be
	// unknown by itself.
	Processes Field[[]Process]
}

// Of returns what a process uses of the device, as Device.Of.
func (d *DeviceMemory) Of(pid int64) Field[int64] { return usedBy(d.Processes, pid) }

// Of returns what a process uses of the device, by the PID that it has here: 0
// when all who use the device are known and it is not one of them, unknown when
// there is no list, or a part of one, or one by other PIDs.
func (d *Device) Of(pid int64) Field[int64] { return usedBy(d.Processes, pid) }

func usedBy(list Field[[]Process], pid int64) Field[int64] {
	switch {
	case list.State == "":
		return missing[int64]("", Absent, "no source lists the device's processes")
	case !list.Known():
		return Field[int64]{Note: list.Note}
	case list.Reason == hostPIDs:
		return missing[int64](list.Source, Unsupported, hostPIDs)
	}
	for _, p := range list.Value {
		if p.PID == pid {
			return p.Used
		}
	}
	if list.State == OK && list.Reason != "" { // not all are in it
		return missing[int64](list.Source, Denied, list.Reason)
	}
	return Field[int64]{Note: list.Note} // known to use none
}

// Memory returns the memory of all devices, younger than age or read after the
// call: callers that poll at the same time share one reading. A
// reading takes milliseconds from drivers and their libraries, and up to a
// second where only a vendor's tool tells. It fails only when ctx ends.
func (s *Sampler) Memory(ctx context.Context, age time.Duration) (*Memory, error) {
	inv, err := s.within(ctx, age)
	if err != nil {
		return nil, err
	}
	m := &Memory{Taken: inv.Taken, HostTotal: inv.Host.Total, HostUsable: inv.Host.Usable}
	for i := range inv.Devices {
		d := &inv.Devices[i]
		m.Devices = append(m.Devices, DeviceMemory{
			ID: d.ID, UUID: d.UUID, PCI: d.PCI, Vendor: d.Vendor, Kind: d.Kind, Index: d.Index, Excluded: d.Excluded,
			Total: d.Total, Used: d.Used, Free: d.Free, Processes: d.Processes,
		})
	}
	return m, nil
}
