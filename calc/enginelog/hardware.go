package enginelog

import (
	"hwledger/calc/engine"
	"hwledger/calc/hardware"
)

// Hardware returns the devices that the log shows, none when it shows no
// memory: those that it lists with what was free on each, else as many alike
// as the load has ranks. A name that the catalogue knows adds what the log
// does not print, such as bandwidth.
func (r *Report) Hardware(load engine.Load) engine.Hardware {
	var hw engine.Hardware
	for _, d := range r.Devices {
		if d.ID != "" && d.Free > 0 {
			hw.Devices = append(hw.Devices, device(d, d.Free))
		}
	}
	if len(hw.Devices) > 0 {
		return hw
	}
	d := Device{}
	if len(r.Devices) > 0 {
		d = r.Devices[0]
	}
	one := device(d, r.DeviceBytes)
	if one.Total <= 0 {
		return hw
	}
	ranks := max(1, load.TensorParallel) * max(1, load.PipelineParallel) * max(1, load.DataParallel)
	if load.TensorParallel == 0 && len(r.Devices) > 1 && r.byBuffer() {
		ranks = int64(len(r.Devices))
	}
	if ranks > maxDevices {
		return hw
	}
	for range ranks {
		hw.Devices = append(hw.Devices, one)
	}
	return hw
}

// device is a device of the log with its memory, 0 for what the catalogue has.
func device(d Device, memory engine.Bytes) engine.Device {
	var out engine.Device
	if a, err := hardware.Find(d.Name); d.Name != "" && err == nil && a.Devices == 1 {
		out = a.Device()
	} else if memory > 0 {
		out = engine.Device{Name: memory.String(), Kind: engine.Dedicated, Vendor: engine.BufferVendor(d.ID)}
		if out.Vendor == "apple" {
			out.Kind = engine.Unified
		}
	}
	if memory > 0 {
		out.Total, out.Free, out.Usable = memory, memory, memory
	}
	return out
}
