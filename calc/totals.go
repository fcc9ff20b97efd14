package calc

import "hwledger/calc/engine"

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

// judge compares what every device needs with what it has. A unified device
// also pays for what the engine leaves on the host.
func judge(r *Result, hw engine.Hardware) Verdict {
	if len(hw.Devices) == 0 {
		return NoVerdict
	}
	if len(hw.Devices) < len(r.Devices) {
		return DoesNotFit
	}
	v := Fits
	for i := range r.Devices {
		d := &r.Devices[i]
		// On unified memory what the engine leaves on the host comes out of
		// the same memory, though not out of the device's share of it.
		var beside, besideHigh Bytes
		if d.Kind == engine.Unified && r.Host != nil {
			beside, besideHigh = r.Host.Required, r.Host.High
		}
		switch {
		case d.Required-d.Outside > d.Usable || d.Required+beside > d.Free:
			return DoesNotFit
		case d.High-d.OutsideHigh > d.Usable || d.High+besideHigh > d.Free:
			v = Tight
		}
	}
	if h := r.Host; h != nil && h.Known && h.Required > h.Usable {
		return DoesNotFit
	}
	return v
}
