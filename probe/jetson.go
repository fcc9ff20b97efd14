package probe

import "context"

// tegrastatsSource runs NVIDIA's tool for Jetson boards, whose driver NVML
// tells little about. It prints a line each second until it is stopped.
func tegrastatsSource() Source {
	return Source{Name: "tegrastats", OS: []string{"linux"}, Instead: func(found []Device) bool {
		for _, d := range found {
			if d.Vendor == "nvidia" && d.Kind != Unified {
				return false // a card
			}
		}
		return true
	}, Read: func(ctx context.Context, sys *System) Reading {
		if !sys.exists("etc/nv_tegra_release") && !sys.exists("sys/devices/platform/gpu.0") && !sys.exists("sys/devices/gpu.0") {
			return absent("this is no Jetson board", "")
		}
		out, err := sys.Run(ctx, Command{Name: "tegrastats", Args: []string{"--interval", "200"}, Line: true})
		if err != nil {
			return failed(err, "tegrastats", "install nvidia-l4t-tools")
		}
		d, ok := parseTegrastats(out)
		if !ok {
			return Reading{State: Unsupported, Reason: "tegrastats printed nothing that can be read: " + quote(string(out))}
		}
		if v := sys.text("proc/device-tree/model"); v != "" {
			d.Name = known("device tree", oneLine(v))
		}
		return Reading{State: OK, Devices: []Device{d}}
	}}
}

var (
	tegraRAM   = pattern(`RAM (\d{1,9})/(\d{1,9})MB`)
	tegraBusy  = pattern(`GR3D_FREQ (\d{1,3})%`)
	tegraTemp  = pattern(`(?i)(?:gpu|tj)@(-?\d{1,3}(?:\.\d+)?)C`)
	tegraPower = pattern(`(?:VDD_GPU_SOC|VDD_GPU|POM_5V_GPU|VDD_CPU_GPU_CV) (\d{1,7})(?:mW)?`)
)

// parseTegrastats reads one line. Its memory is all of the board's: used by
// the processor and the GPU together.
func parseTegrastats(line []byte) (Device, bool) {
	const source = "tegrastats"
	d := Device{ID: "nvidia:tegra", Vendor: "nvidia", Kind: Unified, Index: 0}
	m := tegraRAM().FindSubmatch(line)
	if m == nil {
		return d, false
	}
	used, _ := integer(string(m[1]))
	total, _ := integer(string(m[2]))
	d.Total, d.Used = known(source, total<<20), known(source, min(used, total)<<20)
	if m := tegraBusy().FindSubmatch(line); m != nil {
		v, _ := integer(string(m[1]))
		d.Utilization = known(source, float64(v))
	}
	if m := tegraTemp().FindSubmatch(line); m != nil {
		v, _ := decimal(string(m[1]))
		d.Temperature = known(source, v)
	}
	if m := tegraPower().FindSubmatch(line); m != nil {
		v, _ := decimal(string(m[1]))
		d.Power = known(source, v/1000)
	}
	return d, true
}
