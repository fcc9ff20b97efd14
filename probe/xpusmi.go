package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// xpuSMISource runs Intel's tool, whose output changed with version 2.
func xpuSMISource() Source {
	return Source{Name: "xpu-smi", Every: 2 * time.Second, Instead: func(found []Device) bool {
		for _, d := range found {
			if d.Vendor == "intel" && d.Kind != Shared && d.Excluded != isAsleep && (!d.Total.Known() || !d.Free.Known() && !d.Used.Known()) {
				return true
			}
		}
		return false
	}, Read: readXPUSMI}
}

func readXPUSMI(ctx context.Context, sys *System) Reading {
	out, err := sys.Run(ctx, Command{Name: "xpu-smi", Args: []string{"discovery", "-j"}})
	if err != nil && len(out) == 0 {
		return failed(err, "xpu-smi", "")
	}
	devices, ok := parseXPUDiscovery(out)
	if !ok {
		return Reading{State: Unsupported, Reason: "xpu-smi printed nothing that can be read: " + quote(string(out[:min(len(out), 200)]))}
	}
	if len(devices) == 0 {
		return absent("xpu-smi finds no device", "")
	}
	for i := range devices {
		if !devices[i].Total.Known() { // the list of most versions has no sizes
			out, err := sys.Run(ctx, Command{Name: "xpu-smi", Args: []string{"discovery", "-d", strconv.Itoa(devices[i].Index), "-j"}})
			if err == nil {
				devices[i].xpuDetails(out)
			}
		}
		stats, err := sys.Run(ctx, Command{Name: "xpu-smi", Args: []string{"stats", "-d", strconv.Itoa(devices[i].Index), "-j"}})
		if err == nil {
			devices[i].xpuStats(stats)
		}
	}
	return Reading{State: OK, Devices: devices}
}

// xpuDetails takes the memory of one device's discovery.
func (d *Device) xpuDetails(out []byte) {
	var v struct {
		Memory quantity `json:"memory_physical_size_byte"`
	}
	if raw, ok := object(out); ok && json.Unmarshal(raw, &v) == nil {
		if n, ok := v.Memory.bytes("B"); ok && n > 0 {
			d.Total = known("xpu-smi", n)
		}
	}
}

// parseXPUDiscovery reads the list of devices, which is null or a sentence
// when there are none. Sizes are texts in version 1 and numbers in 2.
func parseXPUDiscovery(out []byte) ([]Device, bool) {
	const source = "xpu-smi"
	raw, ok := object(out)
	if !ok {
		return nil, bytes.Contains(out, []byte("No device discovered"))
	}
	var list struct {
		Devices []struct {
			ID     quantity `json:"device_id"`
			Name   string   `json:"device_name"`
			Memory quantity `json:"memory_physical_size_byte"`
			PCI    string   `json:"pci_bdf_address"`
		} `json:"device_list"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	var devices []Device
	for i, g := range list.Devices[:min(len(list.Devices), 256)] {
		d := Device{Vendor: "intel", Kind: Dedicated, Index: i, Name: word(source, g.Name)}
		if g.ID.OK && g.ID.Value >= 0 && g.ID.Value < 1024 {
			d.Index = int(g.ID.Value)
		}
		if d.ID = fmt.Sprintf("intel:%d", d.Index); !unavailable(g.PCI) {
			d.PCI = address(g.PCI)
			d.ID = d.PCI
		}
		v, ok := g.Memory.bytes("B")
		d.Total = optional(source, v, ok && v > 0)
		devices = append(devices, d)
	}
	return devices, true
}

// xpuStats reads one device's statistics in the form of either version.
func (d *Device) xpuStats(out []byte) {
	const source = "xpu-smi"
	raw, ok := object(out)
	if !ok {
		return
	}
	values := xpuV1(raw)
	if len(values) == 0 {
		values = xpuV2(raw)
	}
	set := func(f *Field[float64], name string) {
		v, ok := values[name]
		*f = optional(source, v, ok)
	}
	set(&d.Utilization, "XPUM_STATS_GPU_UTILIZATION")
	set(&d.Temperature, "XPUM_STATS_GPU_CORE_TEMPERATURE")
	set(&d.MemoryTemperature, "XPUM_STATS_MEMORY_TEMPERATURE")
	set(&d.Power, "XPUM_STATS_POWER")
	used, ok := values["XPUM_STATS_MEMORY_USED"]
	d.Used = optional(source, int64(used*(1<<20)), ok && used >= 0 && used < mostBytes>>20) // MiB
}

// xpuV1 reads lists of metrics by name, of the device and else of its tiles.
func xpuV1(raw json.RawMessage) map[string]float64 {
	type metric struct {
		Type  string   `json:"metrics_type"`
		Value quantity `json:"value"`
	}
	var v struct {
		Device []metric `json:"device_level"`
		Tiles  []struct {
			List []metric `json:"data_list"`
		} `json:"tile_level"`
	}
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	values := map[string]float64{}
	for _, m := range v.Device {
		if m.Value.OK {
			values[m.Type] = m.Value.Value
		}
	}
	if _, ok := values["XPUM_STATS_MEMORY_USED"]; ok {
		return values
	}
	for _, t := range v.Tiles {
		for _, m := range t.List {
			if m.Value.OK && m.Type == "XPUM_STATS_MEMORY_USED" {
				values[m.Type] += m.Value.Value
			}
		}
	}
	return values
}

// xpuV2 reads nested values for each tile, which are numbers or have an
// average; memory and power of tiles add up, of the rest the highest counts.
func xpuV2(raw json.RawMessage) map[string]float64 {
	var v map[string]json.RawMessage
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	values := map[string]float64{}
	for _, m := range [...]struct {
		group, name, as string
		sum             bool
	}{
		{"utilization", "gpu_percent", "XPUM_STATS_GPU_UTILIZATION", false},
		{"temperature", "gpu_core_celsius", "XPUM_STATS_GPU_CORE_TEMPERATURE", false},
		{"power", "gpu_power_w", "XPUM_STATS_POWER", true},
		{"memory", "used_mib", "XPUM_STATS_MEMORY_USED", true},
	} {
		var group map[string]json.RawMessage
		var tiles map[string]json.RawMessage
		if json.Unmarshal(v[m.group], &group) != nil || json.Unmarshal(group[m.name], &tiles) != nil {
			continue
		}
		for _, t := range tiles {
			x, ok := tileValue(t)
			if !ok {
				continue
			}
			if before, there := values[m.as]; there && m.sum {
				x += before
			} else if there {
				x = max(x, before)
			}
			values[m.as] = x
		}
	}
	return values
}

// tileValue reads a number, or the average of {"avg", "min", "max"}.
func tileValue(raw json.RawMessage) (float64, bool) {
	var q quantity
	if q.UnmarshalJSON(raw) == nil && q.OK {
		return q.Value, true
	}
	var spread struct {
		Average quantity `json:"avg"`
	}
	if json.Unmarshal(raw, &spread) != nil {
		return 0, false
	}
	return spread.Average.Value, spread.Average.OK
}
