package tools

import (
	"context"

	"hwledger/calc/engine"
	"hwledger/probe"
	"hwledger/sidecar"
)

// Machine is this machine's memory as sidecars take it.
type Machine struct{ *probe.Sampler }

// usable are the devices that plans use, in their order.
func usable(inv *probe.Inventory) []*probe.Device {
	var out []*probe.Device
	for i := range inv.Devices {
		if d := &inv.Devices[i]; d.Excluded == "" && d.Total.Known() {
			out = append(out, d)
		}
	}
	return out
}

// pool is the memory that a device is: its own, or the system's.
func pool(d *probe.Device) string {
	if d.Kind == probe.Dedicated {
		return d.ID
	}
	return sidecar.HostPool
}

// Pools returns the system's memory and that of each device with its own.
func (m Machine) Pools(ctx context.Context) ([]sidecar.Pool, error) {
	inv, err := m.Now(ctx)
	if err != nil {
		return nil, err
	}
	var out []sidecar.Pool
	if h := plannedHost(&inv.Host, false); h != nil {
		out = append(out, sidecar.Pool{ID: sidecar.HostPool, Total: int64(h.Total), Free: int64(h.Usable)})
	}
	for _, d := range usable(inv) {
		if p := plannedDevice(d, &inv.Host, false); pool(d) == d.ID {
			out = append(out, sidecar.Pool{ID: d.ID, Total: int64(p.Total), Free: int64(p.Usable)})
		}
	}
	return out, nil
}

// Held returns what the processes have of devices whose drivers tell it. One
// that lists none of them is left out: it may not list all, or know them by
// other numbers, as in a container.
func (m Machine) Held(ctx context.Context, pids []int) (map[string]int64, error) {
	inv, err := m.Now(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, d := range usable(inv) {
		for _, pid := range pids {
			if used := d.Of(int64(pid)); pool(d) == d.ID && used.Or(0) > 0 {
				out[d.ID] += used.Value
			}
		}
	}
	return out, nil
}

// Local is the machine as plans take it, and the pool of each of its devices.
// Without one that plans can use there are none: engines that can do without
// run in the system's memory.
func (m Machine) Local(ctx context.Context) (engine.Hardware, []string, error) {
	inv, err := m.Now(ctx)
	if err != nil {
		return engine.Hardware{}, nil, err
	}
	hw, of := engine.Hardware{Host: plannedHost(&inv.Host, false)}, []string{}
	for _, d := range usable(inv) {
		hw.Devices, of = append(hw.Devices, plannedDevice(d, &inv.Host, false)), append(of, pool(d))
	}
	return hw, of, nil
}

// Energy returns the energy counters of devices with their own memory, in
// millijoules; those that were not read now are left out.
func (m Machine) Energy(ctx context.Context) (map[string]int64, error) {
	return m.thousandths(ctx, func(d *probe.Device) probe.Field[float64] { return d.Energy })
}

// Power returns what devices with their own memory draw, in milliwatts; those
// that were not read now are left out.
func (m Machine) Power(ctx context.Context) (map[string]int64, error) {
	return m.thousandths(ctx, func(d *probe.Device) probe.Field[float64] { return d.Power })
}

func (m Machine) thousandths(ctx context.Context, of func(*probe.Device) probe.Field[float64]) (map[string]int64, error) {
	inv, err := m.Now(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, d := range usable(inv) {
		if f := of(d); pool(d) == d.ID && f.State == probe.OK {
			out[d.ID] = int64(1000 * f.Value)
		}
	}
	return out, nil
}
