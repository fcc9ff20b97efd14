package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// nvtopSource asks nvtop, which knows cards of many makers, where nothing else
// told a card's memory.
func nvtopSource() Source {
	return Source{Name: "nvtop", OS: []string{"linux"}, Every: 5 * time.Second, Instead: func(found []Device) bool {
		for _, d := range found {
			if !d.Total.Known() && d.Excluded != isAsleep && d.Kind != Unified {
				return true
			}
		}
		return false
	}, Read: func(ctx context.Context, sys *System) Reading {
		out, err := sys.Run(ctx, Command{Name: "nvtop", Args: []string{"-s"}})
		if err != nil {
			return failed(err, "nvtop", "")
		}
		devices, ok := parseNvtop(out)
		if !ok {
			return Reading{State: Unsupported, Reason: "nvtop printed nothing that can be read"}
		}
		return Reading{State: OK, Devices: devices}
	}}
}

// parseNvtop reads a snapshot of nvtop: texts with units, null for nothing.
func parseNvtop(out []byte) ([]Device, bool) {
	const source = "nvtop"
	var list []struct {
		Name  string   `json:"device_name"`
		Temp  quantity `json:"temp"`
		Power quantity `json:"power_draw"`
		Busy  quantity `json:"gpu_util"`
		Total quantity `json:"mem_total"`
		Used  quantity `json:"mem_used"`
		Free  quantity `json:"mem_free"`
	}
	raw, ok := object(out)
	if !ok || json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	number := func(q quantity) Field[float64] { return optional(source, q.Value, q.OK) }
	bytes := func(q quantity) Field[int64] { v, ok := q.bytes("B"); return optional(source, v, ok) }
	var devices []Device
	count := map[string]int{}
	for _, g := range list[:min(len(list), 256)] {
		d := Device{Kind: Dedicated, Name: word(source, g.Name), Vendor: vendorOf(g.Name)}
		d.Index = count[d.Vendor]
		count[d.Vendor]++
		d.ID = fmt.Sprintf("%s:%d", d.Vendor, d.Index)
		if integratedName(g.Name) {
			d.Kind = Unified
		}
		d.Temperature, d.Power, d.Utilization = number(g.Temp), number(g.Power), number(g.Busy)
		d.Total, d.Used, d.Free = bytes(g.Total), bytes(g.Used), bytes(g.Free)
		devices = append(devices, d)
	}
	return devices, true
}

// vendorOf tells a maker by the name of a card, "unknown" when it does not.
func vendorOf(name string) string {
	name = strings.ToLower(name)
	for _, v := range [...][2]string{{"nvidia", "nvidia"}, {"geforce", "nvidia"}, {"radeon", "amd"}, {"amd", "amd"}, {"intel", "intel"}, {"apple", "apple"}, {"adreno", "qualcomm"}} {
		if strings.Contains(name, v[0]) {
			return v[1]
		}
	}
	return "unknown"
}
