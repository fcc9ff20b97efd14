package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// appleSource reads an Apple chip by the tools that macOS comes with.
func appleSource() Source {
	return Source{Name: "apple", OS: []string{"darwin"}, Read: func(ctx context.Context, sys *System) Reading {
		// Names that this version does not know make it fail after the others.
		out, err := sys.Run(ctx, Command{Name: "sysctl", Args: []string{"hw.memsize", "machdep.cpu.brand_string", "iogpu.wired_limit_mb", "debug.iogpu.wired_limit"}})
		if err != nil && len(out) == 0 {
			return failed(err, "sysctl", "")
		}
		d, ok := appleDevice(parseSysctl(out), sys.GPULimit)
		if !ok {
			return absent("the processor is not Apple's", "")
		}
		out, err = sys.Run(ctx, Command{Name: "ioreg", Args: []string{"-r", "-c", "IOGPU", "-d", "1", "-f"}})
		if err == nil {
			d.ioreg(out)
		} else {
			d.Used = missing[int64]("ioreg", Unsupported, failed(err, "ioreg", "").Reason)
		}
		return Reading{State: OK, Devices: []Device{d}}
	}}
}

// parseSysctl reads lines of "name: value".
func parseSysctl(out []byte) map[string]string {
	values := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if name, v, ok := strings.Cut(line, ": "); ok {
			values[strings.TrimSpace(name)] = oneLine(v)
		}
	}
	return values
}

// appleDevice is the chip's GPU. Its memory is the machine's, of which the
// system lets it lock ("wire") a part: what was set, or what Metal recommends.
func appleDevice(values map[string]string, estimate func(chip string, total int64) int64) (Device, bool) {
	const source = "sysctl"
	chip := values["machdep.cpu.brand_string"]
	if !strings.HasPrefix(chip, "Apple") {
		return Device{}, false
	}
	d := Device{ID: "apple:0", Vendor: "apple", Kind: Unified, Index: 0, Name: known(source, chip)}
	total, ok := size(values["hw.memsize"])
	if d.Total = optional(source, total, ok && total > 0); !d.Total.Known() {
		return d, true
	}
	d.Limit = missing[int64](source, Absent, "no limit is set; Metal's own is not told")
	if estimate != nil {
		d.Limit = Field[int64]{min(estimate(chip, total), total), Note{OK, "estimated", "no limit is set; this is what Metal recommended on machines like it, which Apple does not document"}}
	}
	if mb, ok := size(values["iogpu.wired_limit_mb"]); ok && mb > 0 && mb <= total>>20 {
		d.Limit = known("sysctl iogpu.wired_limit_mb", mb<<20)
	} else if b, ok := size(values["debug.iogpu.wired_limit"]); ok && b > 0 && b <= total {
		d.Limit = known("sysctl debug.iogpu.wired_limit", b)
	}
	return d, true
}

var (
	ioregMemory = pattern(`"In use system memory"=(\d{1,19})`)
	ioregBusy   = pattern(`"Device Utilization %"=(\d{1,3})`)
	ioregCores  = pattern(`"gpu-core-count" = (\d{1,4})`)
)

// ioreg takes what the graphics driver counts: memory in use by the GPU and how
// busy it is.
func (d *Device) ioreg(out []byte) {
	const source = "ioreg"
	find := func(re func() *regexp.Regexp) (int64, bool) {
		m := re().FindSubmatch(out)
		if m == nil {
			return 0, false
		}
		return size(string(m[1]))
	}
	used, ok := find(ioregMemory)
	d.Used = optional(source, used, ok)
	busy, ok := find(ioregBusy)
	d.Utilization = optional(source, float64(busy), ok && busy <= 100)
	if cores, ok := find(ioregCores); ok {
		d.Capability = known(source, fmt.Sprintf("%d GPU cores", cores))
	}
}

// displaysSource asks system_profiler, which takes up to two seconds, what
// graphics a Mac has: for those with Intel's processors it is all there is.
func displaysSource() Source {
	return Source{Name: "system_profiler", OS: []string{"darwin"}, Every: 10 * time.Minute, Read: func(ctx context.Context, sys *System) Reading {
		out, err := sys.Run(ctx, Command{Name: "system_profiler", Args: []string{"SPDisplaysDataType", "-json"}})
		if err != nil {
			return failed(err, "system_profiler", "")
		}
		devices, ok := parseDisplays(out)
		if !ok {
			return Reading{State: Unsupported, Reason: "system_profiler printed nothing that can be read"}
		}
		return Reading{State: OK, Devices: devices}
	}}
}

// parseDisplays reads system_profiler's list of graphics.
func parseDisplays(out []byte) ([]Device, bool) {
	const source = "system_profiler"
	var list struct {
		Displays []struct {
			Name   string `json:"_name"`
			Model  string `json:"sppci_model"`
			Cores  string `json:"sppci_cores"`
			Vendor string `json:"spdisplays_vendor"`
			VRAM   string `json:"spdisplays_vram"`
			Shared string `json:"spdisplays_vram_shared"`
		} `json:"SPDisplaysDataType"`
	}
	raw, ok := object(out)
	if !ok || json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	var devices []Device
	for i, g := range list.Displays[:min(len(list.Displays), 64)] {
		d := Device{Index: -1, Kind: Unknown}
		name := g.Model
		if name == "" {
			name = g.Name
		}
		d.Name = word(source, name)
		vendor := strings.ToLower(g.Vendor)
		for _, v := range [...]string{"apple", "amd", "nvidia", "intel"} {
			if strings.Contains(vendor, v) {
				d.Vendor = v
			}
		}
		d.ID = fmt.Sprintf("%s:%d", d.Vendor, i)
		switch {
		case d.Vendor == "apple":
			d.Kind, d.Index = Unified, i
		case g.VRAM != "":
			d.Kind, d.Total = Dedicated, written(source, g.VRAM)
		case g.Shared != "":
			d.Kind, d.Total = Shared, written(source, g.Shared)
		}
		if cores, ok := integer(g.Cores); ok && cores < 1<<16 {
			d.Capability = known(source, fmt.Sprintf("%d GPU cores", cores))
		}
		devices = append(devices, d)
	}
	return devices, true
}

// written reads a size as people write it: "8 GB".
func written(source, v string) Field[int64] {
	n, ok := decimal(v)
	q := quantity{Value: n, OK: ok, Unit: strings.TrimLeft(strings.TrimSpace(v), "-0123456789. ")}
	b, ok := q.bytes("")
	if !ok {
		return missing[int64](source, Unsupported, "reported as "+quote(v))
	}
	return known(source, b)
}

// macmonSource runs macmon, which reads an Apple chip's sensors without being
// root. Its memory is the whole system's and not the GPU's, so it is not read.
func macmonSource() Source {
	return Source{Name: "macmon", OS: []string{"darwin"}, Read: func(ctx context.Context, sys *System) Reading {
		out, err := sys.Run(ctx, Command{Name: "macmon", Args: []string{"pipe", "-s", "1", "-i", "200"}, Line: true})
		if err != nil {
			return failed(err, "macmon", "brew install macmon, for power and temperature")
		}
		d, ok := parseMacmon(out)
		if !ok {
			return Reading{State: Unsupported, Reason: "macmon printed nothing that can be read: " + quote(string(out[:min(len(out), 200)]))}
		}
		return Reading{State: OK, Devices: []Device{d}}
	}}
}

// parseMacmon reads one line of macmon pipe. Version 0.8.0 renamed keys, and
// 0.8.1 brought the old ones back beside the new.
func parseMacmon(line []byte) (Device, bool) {
	const source = "macmon"
	var v struct {
		Old    []float64 `json:"gpu_usage"` // MHz, ratio
		Active *float64  `json:"gpu_active_ratio"`
		Power  *float64  `json:"gpu_power"`
		Temp   struct {
			GPU *float64 `json:"gpu_temp_avg"`
		} `json:"temp"`
	}
	raw, ok := object(line)
	if !ok || json.Unmarshal(raw, &v) != nil || v.Old == nil && v.Active == nil && v.Power == nil {
		return Device{}, false
	}
	d := Device{ID: "apple:0", Vendor: "apple", Kind: Unified, Index: 0}
	switch {
	case v.Active != nil:
		d.Utilization = known(source, *v.Active*100)
	case len(v.Old) == 2:
		d.Utilization = known(source, v.Old[1]*100)
	}
	if v.Power != nil {
		d.Power = known(source, *v.Power)
	}
	if v.Temp.GPU != nil && *v.Temp.GPU > 0 {
		d.Temperature = known(source, *v.Temp.GPU)
	}
	return d, true
}

// powermetricsSource runs powermetrics, which only root may.
func powermetricsSource() Source {
	return Source{Name: "powermetrics", OS: []string{"darwin"},
		Instead: func(found []Device) bool {
			for _, d := range found {
				if d.Vendor == "apple" && d.Power.Known() {
					return false
				}
			}
			return true
		},
		Read: func(ctx context.Context, sys *System) Reading {
			if sys.UID != 0 {
				return Reading{State: Denied, Reason: "powermetrics runs for root only"}
			}
			out, err := sys.Run(ctx, Command{Name: "powermetrics", Args: []string{"--samplers", "gpu_power", "-n", "1", "-i", "200"}})
			if err != nil {
				return failed(err, "powermetrics", "")
			}
			d, ok := parsePowermetrics(out)
			if !ok {
				return Reading{State: Unsupported, Reason: "powermetrics printed nothing that can be read"}
			}
			return Reading{State: OK, Devices: []Device{d}}
		}}
}

// parsePowermetrics reads the GPU's part of powermetrics.
func parsePowermetrics(out []byte) (Device, bool) {
	const source = "powermetrics"
	d := Device{ID: "apple:0", Vendor: "apple", Kind: Unified, Index: 0}
	found := false
	for _, line := range strings.Split(string(out), "\n") {
		name, value, _ := strings.Cut(line, ":")
		v, ok := decimal(value)
		switch {
		case !ok:
		case name == "GPU HW active residency" || name == "GPU active residency":
			d.Utilization, found = known(source, v), true
		case name == "GPU Power":
			d.Power, found = known(source, v/1000), true
		}
	}
	return d, found
}
