// Package probe says what hardware this machine has: its accelerators, their
// memory and telemetry, and the host around them.
//
// One file holds one source: NVML, the amdgpu driver's files, macmon and so
// on. A source reads files and runs commands through a System, so that tests
// give it those of machines nobody here has; what it parses, it parses with
// pure functions over bytes. A value that is not known says why: it is never
// a zero.
//
// A new source is one new file and one line in Sources.
package probe

import (
	"time"
)

// MemoryKind is how a device's memory relates to the system's.
type MemoryKind string

// The memory kinds.
const (
	Dedicated MemoryKind = "dedicated" // its own memory
	Unified   MemoryKind = "unified"   // one memory for CPU and GPU
	Shared    MemoryKind = "shared"    // a window into system memory
	Unknown   MemoryKind = "unknown"
)

// Device is one accelerator, or a part of one (MIG). Memory is in bytes.
type Device struct {
	// ID names the device for as long as it stays in its slot: a UUID, a PCI
	// address, or a vendor and a number.
	ID     string
	Vendor string // nvidia, amd, apple, intel …
	Kind   MemoryKind
	UUID   string // the driver's, "" when it has none
	PCI    string // 0000:01:00.0, "" when it is not on PCI
	Index  int    // the number that the vendor's runtime gives it, -1 when unknown
	// Parent is the ID of the card that this is a part of.
	Parent string
	// Excluded says why plans leave the device out, "" when they do not.
	Excluded string

	Name Field[string]
	// Total is what the driver reports; Reserved the part that it keeps for
	// itself; Limit what the system lets a GPU take of unified memory; Free
	// what an allocation can have now.
	Total, Reserved, Used, Free, Limit Field[int64]
	// apart is the memory within Total that the firmware set aside for a
	// processor's graphics, and apartUsed what is used of it: the system does
	// not count that as its own.
	apart, apartUsed int64
	// Bandwidth of the memory in bytes/s.
	Bandwidth Field[float64]

	Utilization, MemoryBusy                         Field[float64] // percent
	Temperature, MemoryTemperature                  Field[float64] // °C
	Power, PowerLimit                               Field[float64] // W
	Energy                                          Field[float64] // J, a counter
	Driver, Runtime, Capability, MIG, Addressing    Field[string]
	LinkGeneration, LinkWidth, MaxLinkGen, MaxWidth Field[int64] // PCIe
	NUMANode                                        Field[int64]
	NVLinks                                         Field[int64] // links that are up
	// Processes use the device; with a Reason they are not all that do.
	Processes Field[[]Process]
}

// Process is one process that uses a device.
type Process struct {
	// PID is the one that the source knows: NVIDIA's driver has the host's,
	// which in a container is not the one seen there; fdinfo the one seen here.
	PID  int64
	Used Field[int64] // bytes
}

// slots lists the device's fields by the names they have in answers.
func (d *Device) slots() []named {
	return []named{
		{"name", &d.Name},
		{"total_bytes", &d.Total}, {"reserved_bytes", &d.Reserved}, {"used_bytes", &d.Used}, {"free_bytes", &d.Free}, {"limit_bytes", &d.Limit},
		{"bandwidth_bytes_per_second", &d.Bandwidth},
		{"utilization_percent", &d.Utilization}, {"memory_busy_percent", &d.MemoryBusy},
		{"temperature_celsius", &d.Temperature}, {"memory_temperature_celsius", &d.MemoryTemperature},
		{"power_watts", &d.Power}, {"power_limit_watts", &d.PowerLimit}, {"energy_joules", &d.Energy},
		{"driver", &d.Driver}, {"runtime", &d.Runtime}, {"capability", &d.Capability}, {"mig", &d.MIG}, {"addressing_mode", &d.Addressing},
		{"pcie_generation", &d.LinkGeneration}, {"pcie_width", &d.LinkWidth}, {"pcie_max_generation", &d.MaxLinkGen}, {"pcie_max_width", &d.MaxWidth},
		{"numa_node", &d.NUMANode}, {"nvlinks", &d.NVLinks},
		{"processes", &d.Processes},
	}
}

// Notes says of every field that a source was asked for how it is known.
func (d *Device) Notes() map[string]Note { return notes(d.slots()) }

func notes(list []named) map[string]Note {
	out := map[string]Note{}
	for _, f := range list {
		if n := *f.slot.note(); n.State != "" {
			out[f.Name] = n
		}
	}
	return out
}

// Link joins two devices.
type Link struct {
	A, B string // IDs
	// Path is what lies between them: internal, one_switch, switches,
	// host_bridge, numa_node, system, in the order in which they get slower.
	Path string
	// NVLink reports that they reach each other's memory over NVLink.
	NVLink Field[bool]
}

// Report is what became of one source.
type Report struct {
	Name   string
	State  State
	Reason string
	// Hint is what to install or to change, "" when there is nothing to do.
	Hint string
	Took time.Duration
}

// Inventory is what a machine has, at one time.
type Inventory struct {
	Taken   time.Time
	Took    time.Duration
	Devices []Device
	Links   []Link
	Host    Host
	Sources []Report
}

// Device returns the device with an ID, nil when there is none.
func (inv *Inventory) Device(id string) *Device {
	for i := range inv.Devices {
		if inv.Devices[i].ID == id {
			return &inv.Devices[i]
		}
	}
	return nil
}
