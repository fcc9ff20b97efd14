package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// amdSMISource runs amd-smi, where the driver's files are not to be read. It
// is a Python program that takes a second to start.
func amdSMISource() Source {
	return Source{Name: "amd-smi", Every: 5 * time.Second, Instead: unread("amd"), Read: func(ctx context.Context, sys *System) Reading {
		metric, err := sys.Run(ctx, Command{Name: "amd-smi", Args: []string{"metric", "--json"}})
		if err != nil && len(metric) == 0 {
			return failed(err, "amd-smi", "install amd-smi (amd-smi-lib)")
		}
		static, _ := sys.Run(ctx, Command{Name: "amd-smi", Args: []string{"static", "--json"}})
		devices, ok := parseAMDSMI(metric, static)
		if !ok {
			return Reading{State: Unsupported, Reason: "amd-smi printed nothing that can be read: " + quote(string(metric[:min(len(metric), 200)]))}
		}
		list, _ := sys.Run(ctx, Command{Name: "amd-smi", Args: []string{"process", "--json"}})
		amdProcesses(devices, list)
		return Reading{State: OK, Devices: devices}
	}}
}

// amdMetric is one GPU of amd-smi metric. Any section may be the word "N/A".
type amdMetric struct {
	GPU         quantity `json:"gpu"`
	Usage       section  `json:"usage"`
	Power       section  `json:"power"`
	Temperature section  `json:"temperature"`
	Energy      section  `json:"energy"`
	Memory      section  `json:"mem_usage"`
}

// amdStatic is one GPU of amd-smi static.
type amdStatic struct {
	GPU  quantity `json:"gpu"`
	ASIC texts    `json:"asic"`
	Bus  texts    `json:"bus"`
	Drv  texts    `json:"driver"`
	VRAM section  `json:"vram"`
}

// section is an object of quantities. What is no quantity is not known.
type section map[string]quantity

// UnmarshalJSON reads an object; anything else is an empty section.
func (s *section) UnmarshalJSON(b []byte) error {
	*s = section{}
	var raw map[string]json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return nil
	}
	for k, v := range raw {
		var q quantity
		if q.UnmarshalJSON(v) == nil {
			(*s)[k] = q
		}
	}
	return nil
}

// texts is an object of words. What is no word is not known.
type texts map[string]string

// UnmarshalJSON reads an object; anything else is empty.
func (t *texts) UnmarshalJSON(b []byte) error {
	*t = texts{}
	var raw map[string]any
	if json.Unmarshal(b, &raw) != nil {
		return nil
	}
	for k, v := range raw {
		if s, ok := v.(string); ok && !unavailable(s) {
			(*t)[k] = oneLine(s)
		}
	}
	return nil
}

// amdList reads what amd-smi printed: a list up to ROCm 6, an object with
// gpu_data since ROCm 7, with warnings around it or not.
func amdList[T any](out []byte) ([]T, bool) {
	raw, ok := object(out)
	if !ok {
		return nil, false
	}
	var list []T
	if json.Unmarshal(raw, &list) == nil {
		return list, true
	}
	var wrapped struct {
		Data []T `json:"gpu_data"`
	}
	if json.Unmarshal(raw, &wrapped) != nil || wrapped.Data == nil {
		return nil, false
	}
	return wrapped.Data, true
}

// parseAMDSMI reads the answers of metric and of static.
func parseAMDSMI(metric, static []byte) ([]Device, bool) {
	list, ok := amdList[amdMetric](metric)
	if !ok {
		return nil, false
	}
	facts, _ := amdList[amdStatic](static)
	var out []Device
	for i := range list[:min(len(list), 256)] {
		m := &list[i]
		n := i
		if m.GPU.OK && m.GPU.Value >= 0 && m.GPU.Value < 1024 {
			n = int(m.GPU.Value)
		}
		d := Device{Vendor: "amd", Kind: Dedicated, Index: n, ID: fmt.Sprintf("amd:%d", n)}
		d.amdMetric(m)
		for j := range facts {
			if facts[j].GPU.OK && int(facts[j].GPU.Value) == n {
				d.amdStatic(&facts[j])
			}
		}
		if gtt := m.Memory.bytes("total_gtt"); integratedAMD(&d, gtt) {
			d.mapped("amd-smi", gtt, m.Memory.bytes("used_gtt"))
		}
		out = append(out, d)
	}
	return out, true
}

// number returns a quantity of a section.
func (s section) number(names ...string) Field[float64] {
	for _, name := range names {
		if q := s[name]; q.OK {
			return known("amd-smi", q.Value)
		}
	}
	return missing[float64]("amd-smi", Unsupported, "reported as N/A, or not at all")
}

// bytes returns a size of a section, which is in MiB where it says MB.
func (s section) bytes(names ...string) Field[int64] {
	for _, name := range names {
		if v, ok := s[name].bytes("MB"); ok {
			return known("amd-smi", v)
		}
	}
	return missing[int64]("amd-smi", Unsupported, "reported as N/A, or not at all")
}

func (d *Device) amdMetric(m *amdMetric) {
	d.Utilization, d.MemoryBusy = m.Usage.number("gfx_activity"), m.Usage.number("umc_activity")
	d.Temperature = m.Temperature.number("edge", "hotspot") // Instinct has no edge sensor
	d.MemoryTemperature = m.Temperature.number("mem")
	d.Power = m.Power.number("socket_power", "current_socket_power", "average_socket_power")
	d.Energy = m.Energy.number("total_energy_consumption")
	if d.Energy.Known() && d.Energy.Value == 0 { // what has no counter reads 0
		d.Energy = missing[float64]("amd-smi", Unsupported, "the counter stands at 0")
	}
	d.Total, d.Used, d.Free = m.Memory.bytes("total_vram"), m.Memory.bytes("used_vram"), m.Memory.bytes("free_vram")
	if visible := m.Memory.bytes("total_visible_vram"); !d.Total.Known() && visible.Known() {
		d.Total, d.Used = visible, m.Memory.bytes("used_visible_vram")
		d.Total.Reason = "the part that the processor sees; all of it is not reported"
	}
}

func (d *Device) amdStatic(f *amdStatic) {
	const source = "amd-smi"
	if v := f.ASIC["market_name"]; v != "" {
		d.Name = known(source, v)
	}
	if v := f.ASIC["target_graphics_version"]; v != "" {
		d.Capability = known(source, v)
	}
	if v := f.Bus["bdf"]; v != "" {
		d.PCI = address(v)
		d.ID = d.PCI
	}
	if v := f.Drv["version"]; v != "" {
		d.Driver = known(source, "amdgpu "+v)
	}
	if v, ok := f.VRAM["size"].bytes("MB"); ok && !d.Total.Known() {
		d.Total = known(source, v)
	}
	if q := f.VRAM["max_bandwidth"]; q.OK && q.Unit == "GB/s" && q.Value > 0 {
		d.Bandwidth = known(source, q.Value*1e9)
	}
}

// amdProcesses adds the processes of amd-smi process, where the list of a GPU
// may be a word that there are none.
func amdProcesses(devices []Device, out []byte) {
	type entry struct {
		GPU  quantity        `json:"gpu"`
		List json.RawMessage `json:"process_list"`
		Info json.RawMessage `json:"process_info"`
	}
	list, ok := amdList[entry](out)
	if !ok {
		return
	}
	for i := range devices {
		for _, e := range list {
			if !e.GPU.OK || int(e.GPU.Value) != devices[i].Index {
				continue
			}
			if e.List == nil {
				e.List = e.Info
			}
			if p := amdProcess(e.List); !devices[i].Processes.Known() || len(p) > 0 {
				devices[i].Processes = known("amd-smi", append(devices[i].Processes.Value, p...))
			}
		}
	}
}

// amdProcess reads a list of processes, one process, or a word for none.
func amdProcess(raw json.RawMessage) []Process {
	type process struct {
		PID    quantity `json:"pid"`
		Memory section  `json:"memory_usage"`
	}
	type wrapped struct {
		process
		Info *process `json:"process_info"`
	}
	var list []wrapped
	if json.Unmarshal(raw, &list) != nil {
		var one wrapped
		if json.Unmarshal(raw, &one) != nil {
			return []Process{}
		}
		list = []wrapped{one}
	}
	out := []Process{}
	for _, w := range list[:min(len(list), 4096)] {
		p := w.process
		if w.Info != nil {
			p = *w.Info
		}
		if p.PID.OK && p.PID.Value > 0 && p.PID.Value < 1<<32 {
			out = append(out, Process{PID: int64(p.PID.Value), Used: p.Memory.bytes("vram_mem")})
		}
	}
	return out
}
