package calc

import (
	"math"

	"hwledger/calc/engine"
)

// Totals are sums over a plan's terms and devices. Host memory is not in
// them.
type Totals struct {
	Weights, KVCache, State, Workspace, Runtime Bytes
	// Required is what the load needs on all devices; Low and High its range.
	Required, Low, High Bytes
}

// add puts b into the total of its category.
func (t *Totals) add(c engine.Category, b, low, high Bytes) {
	switch c {
	case engine.Weights:
		t.Weights += b
	case engine.KVCache:
		t.KVCache += b
	case engine.State:
		t.State += b
	case engine.Workspace:
		t.Workspace += b
	case engine.Runtime:
		t.Runtime += b
	}
	t.Required += b
	t.Low += low
	t.High += high
}

// DeviceUse is one device's part of a plan.
type DeviceUse struct {
	Name string
	Kind engine.MemoryKind
	// Known reports whether Total, Free, Usable and Headroom mean anything.
	Known               bool
	Total, Free, Usable Bytes
	Totals
	// Headroom is Usable minus Required; negative when it does not fit.
	Headroom Bytes
	// Outside is the part of Required that the engine takes beside its own
	// budget, OutsideHigh its high end.
	Outside, OutsideHigh Bytes
}

// add sums an engine's terms by device.
func add(u *engine.Usage, hw engine.Hardware) (Totals, []DeviceUse, *DeviceUse) {
	var total Totals
	devices := make([]DeviceUse, u.Devices)
	var host *DeviceUse
	for i := range u.Terms {
		t := &u.Terms[i]
		low, high := t.Range()
		if len(t.On) == 0 {
			if host == nil {
				host = &DeviceUse{Name: "host", Kind: engine.Dedicated}
			}
			host.add(t.Category, t.Bytes, low, high)
			continue
		}
		for _, d := range t.On {
			devices[d].add(t.Category, t.Bytes, low, high)
			total.add(t.Category, t.Bytes, low, high)
			if t.Outside {
				devices[d].Outside += t.Bytes
				devices[d].OutsideHigh += high
			}
		}
	}
	for i := range devices {
		d := &devices[i]
		if i >= len(hw.Devices) {
			continue
		}
		h := hw.Devices[i]
		usable := h.Usable
		if i < len(u.Budgets) {
			usable = u.Budgets[i]
		}
		d.set(h, usable)
	}
	if host != nil && hw.Host != nil {
		host.set(*hw.Host, hw.Host.Usable)
	}
	return total, devices, host
}

func (d *DeviceUse) set(h engine.Device, usable Bytes) {
	d.Name, d.Kind, d.Known = h.Name, h.Kind, true
	d.Total, d.Free, d.Usable = h.Total, h.Free, min(usable, h.Free)
	d.Headroom = d.Usable - d.Required + d.Outside
	if d.Free < d.Usable+d.Outside {
		d.Headroom = d.Free - d.Required
	}
}

// judge compares what every device needs with what it has.
func judge(r *Result, hw engine.Hardware) Verdict {
	if len(hw.Devices) == 0 {
		return NoVerdict
	}
	if len(hw.Devices) < len(r.Devices) {
		return DoesNotFit
	}
	expected, high := r.margins()
	switch {
	case expected.Bytes < 0:
		return DoesNotFit
	case high.Bytes < 0:
		return Tight
	}
	return Fits
}

// margin is what the fullest device has left, negative when it lacks memory.
type margin struct {
	Bytes  Bytes
	Device int // index, -1 for the host
}

// margins returns what is left of the device, or of the host, that is
// fullest: when everything takes what is expected, and when it takes the high
// end of its range. A unified device also pays for what the engine leaves on
// the host: that comes out of the same memory, though not out of the device's
// share of it.
func (r *Result) margins() (expected, high margin) {
	expected, high = margin{math.MaxInt64, -1}, margin{math.MaxInt64, -1}
	for i := range r.Devices {
		d := &r.Devices[i]
		var beside, besideHigh Bytes
		if d.Kind == engine.Unified && r.Host != nil {
			beside, besideHigh = r.Host.Required, r.Host.High
		}
		if n := min(d.Usable-d.Required+d.Outside, d.Free-d.Required-beside); n < expected.Bytes {
			expected = margin{n, i}
		}
		if n := min(d.Usable-d.High+d.OutsideHigh, d.Free-d.High-besideHigh); n < high.Bytes {
			high = margin{n, i}
		}
	}
	// Host memory is held to what is expected only.
	if h := r.Host; h != nil && h.Known {
		if n := h.Usable - h.Required; n < expected.Bytes {
			expected = margin{n, -1}
		}
		if n := h.Usable - h.Required; n < high.Bytes {
			high = margin{n, -1}
		}
	}
	return expected, high
}
