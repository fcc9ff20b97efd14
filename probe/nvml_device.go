//go:build linux && cgo

package probe

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// device reads one card. system holds what is the same for all.
func (l *nvmlLibrary) device(h nvml.Device, index int, system Device) Device {
	d := Device{Vendor: "nvidia", Kind: Dedicated, Index: index, Driver: system.Driver, Runtime: system.Runtime}
	if l.has("nvmlDeviceGetIndex") { // not the place in a list that cards are missing from
		if i, r := h.GetIndex(); r == nvml.SUCCESS {
			d.Index = i
		}
	}
	l.identity(h, &d)
	if d.Name.Reason == nvmlName(nvmlLost) {
		d.Excluded = isLost
		d.Total = nvmlMissing[int64](nvml.ERROR_GPU_IS_LOST)
		return d
	}
	l.memory(h, &d)
	l.sensors(h, &d)
	l.place(h, &d)
	d.Bandwidth = l.bandwidth(h, &d)
	return d
}

func itself[T any](v T) T { return v }

func (l *nvmlLibrary) identity(h nvml.Device, d *Device) {
	d.Name = nvmlField(l.has("nvmlDeviceGetName"), h.GetName, oneLine)
	if l.has("nvmlDeviceGetUUID") {
		if v, r := h.GetUUID(); r == nvml.SUCCESS {
			d.UUID = oneLine(v)
		}
	}
	if l.has("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo") {
		if p, r := h.GetPciInfo(); r == nvml.SUCCESS {
			d.PCI = fmt.Sprintf("%04x:%02x:%02x.0", p.Domain, p.Bus, p.Device)
		}
	}
	switch {
	case d.UUID != "":
		d.ID = d.UUID
	case d.PCI != "":
		d.ID = d.PCI
	default:
		d.ID = fmt.Sprintf("nvidia:%d", d.Index)
	}
	d.Capability = nvmlField(l.has("nvmlDeviceGetCudaComputeCapability"), func() ([2]int, nvml.Return) {
		major, minor, r := h.GetCudaComputeCapability()
		return [2]int{major, minor}, r
	}, func(v [2]int) string { return fmt.Sprintf("%d.%d", v[0], v[1]) })
	d.Addressing = nvmlField(l.has("nvmlDeviceGetAddressingMode"), h.GetAddressingMode, func(m nvml.DeviceAddressingMode) string {
		switch nvml.DeviceAddressingModeType(m.Value) {
		case nvml.DEVICE_ADDRESSING_MODE_HMM:
			return "HMM"
		case nvml.DEVICE_ADDRESSING_MODE_ATS:
			return "ATS"
		}
		return "none"
	})
	if l.has("nvmlDeviceGetMigMode") {
		mode, _, r := h.GetMigMode()
		d.MIG = nvmlMissing[string](r)
		if r == nvml.SUCCESS && mode == nvml.DEVICE_MIG_ENABLE {
			d.MIG = known("nvml", "enabled")
		} else if r == nvml.SUCCESS {
			d.MIG = known("nvml", "disabled")
		}
	}
}

// memory reads how much there is. The second version tells what the driver
// keeps for itself apart from what is used; the first counts it as used.
func (l *nvmlLibrary) memory(h nvml.Device, d *Device) {
	r := nvml.ERROR_FUNCTION_NOT_FOUND
	if l.has("nvmlDeviceGetMemoryInfo_v2") {
		var m nvml.Memory_v2
		if m, r = h.GetMemoryInfo_v2(); r == nvml.SUCCESS {
			d.setMemory(m.Total, m.Used, m.Free)
			if m.Reserved <= m.Total {
				d.Reserved = known("nvml", int64(m.Reserved))
			}
			return
		}
	}
	if l.has("nvmlDeviceGetMemoryInfo") {
		var m nvml.Memory
		if m, r = h.GetMemoryInfo(); r == nvml.SUCCESS {
			d.setMemory(m.Total, m.Used, m.Free)
			d.Reserved = missing[int64]("nvml", Unsupported, "this driver counts what it keeps for itself as used")
			return
		}
	}
	d.Total, d.Used, d.Free = nvmlMissing[int64](r), nvmlMissing[int64](r), nvmlMissing[int64](r)
	if r == nvml.ERROR_NOT_SUPPORTED {
		d.Kind = Unknown
		if sharesMemory(d.Name.Or(""), d.Addressing.Or("")) {
			d.Kind = Unified
		}
	}
}

// setMemory takes what the driver reports when it can be so.
func (d *Device) setMemory(total, used, free uint64) {
	if sharesMemory(d.Name.Or(""), "") {
		d.Kind = Unified
	}
	if total == 0 || total > mostBytes || free > total {
		no := missing[int64]("nvml", Unsupported, fmt.Sprintf("the driver reports %d bytes, %d of them free", total, free))
		d.Total, d.Used, d.Free = no, no, no
		return
	}
	d.Total, d.Free = known("nvml", int64(total)), known("nvml", int64(free))
	if used <= total {
		d.Used = known("nvml", int64(used))
	}
}

func (l *nvmlLibrary) sensors(h nvml.Device, d *Device) {
	watts := func(mw uint32) float64 { return float64(mw) / 1000 }
	use := nvmlField(l.has("nvmlDeviceGetUtilizationRates"), h.GetUtilizationRates, itself[nvml.Utilization])
	d.Utilization = Field[float64]{float64(use.Value.Gpu), use.Note}
	d.MemoryBusy = Field[float64]{float64(use.Value.Memory), use.Note}
	d.Temperature = nvmlField(l.has("nvmlDeviceGetTemperature"), func() (uint32, nvml.Return) { return h.GetTemperature(nvml.TEMPERATURE_GPU) },
		func(v uint32) float64 { return float64(v) })
	d.MemoryTemperature = nvmlField(l.has("nvmlDeviceGetFieldValues"), func() (uint64, nvml.Return) { return fieldValue(h, nvml.FI_DEV_MEMORY_TEMP) },
		func(v uint64) float64 { return float64(v) })
	d.Power = nvmlField(l.has("nvmlDeviceGetPowerUsage"), h.GetPowerUsage, watts)
	d.PowerLimit = nvmlField(l.has("nvmlDeviceGetEnforcedPowerLimit"), h.GetEnforcedPowerLimit, watts)
	d.Energy = nvmlField(l.has("nvmlDeviceGetTotalEnergyConsumption"), h.GetTotalEnergyConsumption, func(mj uint64) float64 { return float64(mj) / 1000 })
	d.Processes = l.processes(h)
}

// fieldValue reads one value of nvmlDeviceGetFieldValues that is an unsigned
// number.
func fieldValue(h nvml.Device, id uint32) (uint64, nvml.Return) {
	v := []nvml.FieldValue{{FieldId: id}}
	if r := h.GetFieldValues(v); r != nvml.SUCCESS {
		return 0, r
	}
	if r := nvml.Return(v[0].NvmlReturn); r != nvml.SUCCESS {
		return 0, r
	}
	n := binary.NativeEndian.Uint64(v[0].Value[:])
	if nvml.ValueType(v[0].ValueType) == nvml.VALUE_TYPE_UNSIGNED_INT {
		n &= math.MaxUint32
	}
	if n == 0 || n > 1000 { // a memory that has no sensor reads 0
		return 0, nvml.ERROR_NOT_SUPPORTED
	}
	return n, nvml.SUCCESS
}

// processes lists who uses the device, for computing, drawing or both.
func (l *nvmlLibrary) processes(h nvml.Device) Field[[]Process] {
	lists := []struct {
		name string
		call func() ([]nvml.ProcessInfo, nvml.Return)
	}{{"Compute", h.GetComputeRunningProcesses}, {"Graphics", h.GetGraphicsRunningProcesses}, {"MPSCompute", h.GetMPSComputeRunningProcesses}}
	out := missing[[]Process]("nvml", Unsupported, "the installed driver is older than this counter")
	seen := map[uint32]bool{}
	for _, f := range lists {
		name := "nvmlDeviceGet" + f.name + "RunningProcesses"
		if !l.has(name, name+"_v2", name+"_v3") {
			continue
		}
		list, r := f.call()
		if r != nvml.SUCCESS {
			if !out.Known() {
				out = nvmlMissing[[]Process](r)
			}
			continue
		}
		if !out.Known() {
			out = known("nvml", []Process{})
		}
		for _, p := range list {
			if seen[p.Pid] {
				continue
			}
			seen[p.Pid] = true
			used := missing[int64]("nvml", Unsupported, "the driver does not tell it for this process")
			if p.UsedGpuMemory <= mostBytes {
				used = known("nvml", int64(p.UsedGpuMemory))
			}
			out.Value = append(out.Value, Process{PID: int64(p.Pid), Used: used})
		}
	}
	return out
}

// place reads where the device sits.
func (l *nvmlLibrary) place(h nvml.Device, d *Device) {
	number := func(v int) int64 { return int64(v) }
	d.LinkGeneration = nvmlField(l.has("nvmlDeviceGetCurrPcieLinkGeneration"), h.GetCurrPcieLinkGeneration, number)
	d.LinkWidth = nvmlField(l.has("nvmlDeviceGetCurrPcieLinkWidth"), h.GetCurrPcieLinkWidth, number)
	d.MaxLinkGen = nvmlField(l.has("nvmlDeviceGetMaxPcieLinkGeneration"), h.GetMaxPcieLinkGeneration, number)
	d.MaxWidth = nvmlField(l.has("nvmlDeviceGetMaxPcieLinkWidth"), h.GetMaxPcieLinkWidth, number)
	if !l.has("nvmlDeviceGetNvLinkState") {
		return
	}
	up, asked := int64(0), false
	for i := range nvml.NVLINK_MAX_LINKS {
		state, r := h.GetNvLinkState(i)
		if r == nvml.ERROR_INVALID_ARGUMENT || r == nvml.ERROR_NOT_SUPPORTED {
			break
		}
		asked = asked || r == nvml.SUCCESS
		if r == nvml.SUCCESS && state == nvml.FEATURE_ENABLED {
			up++
		}
	}
	d.NVLinks = optional("nvml", up, asked)
}

// bandwidth is bus width times memory clock times two: NVML gives half the
// data rate for GDDR and HBM alike. The memory of a unified device is not on
// that bus.
func (l *nvmlLibrary) bandwidth(h nvml.Device, d *Device) Field[float64] {
	if d.Kind != Dedicated {
		return missing[float64]("nvml", Unsupported, "the driver's counters are of a memory of its own")
	}
	bits := nvmlField(l.has("nvmlDeviceGetMemoryBusWidth"), h.GetMemoryBusWidth, itself[uint32])
	clock := nvmlField(l.has("nvmlDeviceGetMaxClockInfo"), func() (uint32, nvml.Return) { return h.GetMaxClockInfo(nvml.CLOCK_MEM) }, itself[uint32])
	switch {
	case !bits.Known():
		return Field[float64]{Note: bits.Note}
	case !clock.Known():
		return Field[float64]{Note: clock.Note}
	case bits.Value == 0 || clock.Value == 0:
		return missing[float64]("nvml", Unsupported, "the driver reports a bus or a clock of 0")
	}
	f := known("nvml", float64(bits.Value)/8*float64(clock.Value)*1e6*2)
	f.Reason = fmt.Sprintf("%d bit × %d MHz × 2", bits.Value, clock.Value)
	return f
}

// partitions lists the MIG devices of a card, which is then not planned on
// itself.
func (l *nvmlLibrary) partitions(h nvml.Device, card *Device, system Device) []Device {
	if card.MIG.Value != "enabled" {
		return nil
	}
	card.Excluded = parentCard
	if !l.has("nvmlDeviceGetMaxMigDeviceCount") || !l.has("nvmlDeviceGetMigDeviceHandleByIndex") {
		return nil
	}
	n, r := h.GetMaxMigDeviceCount()
	if r != nvml.SUCCESS {
		return nil
	}
	var out []Device
	for i := range min(n, 64) {
		part, r := h.GetMigDeviceHandleByIndex(i)
		if r != nvml.SUCCESS { // no instance there
			continue
		}
		d := Device{Vendor: "nvidia", Kind: Dedicated, Index: -1, Parent: card.ID, Driver: system.Driver, Runtime: system.Runtime, Capability: card.Capability}
		d.Name = nvmlField(l.has("nvmlDeviceGetName"), part.GetName, oneLine)
		if l.has("nvmlDeviceGetUUID") {
			if uuid, r := part.GetUUID(); r == nvml.SUCCESS {
				d.UUID = oneLine(uuid)
			}
		}
		if d.ID = d.UUID; d.ID == "" {
			d.ID = fmt.Sprintf("%s/mig%d", card.ID, i)
		}
		l.memory(part, &d)
		d.Utilization = missing[float64]("nvml", Unsupported, "not counted for a part of a card")
		d.Processes = l.processes(part)
		out = append(out, d)
	}
	return out
}
