package probe

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/samples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// describe writes the values of a device that are known, for comparison.
func describe(d *Device) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	add("%s %s", d.ID, d.Kind)
	if d.Name.Known() {
		add("%q", d.Name.Value)
	}
	for _, f := range []struct {
		name string
		f    Field[int64]
	}{{"total", d.Total}, {"used", d.Used}, {"free", d.Free}, {"limit", d.Limit}} {
		if f.f.Known() {
			add("%s %d", f.name, f.f.Value)
		}
	}
	for _, f := range []struct {
		name string
		f    Field[float64]
	}{{"busy", d.Utilization}, {"temp", d.Temperature}, {"power", d.Power}} {
		if f.f.Known() {
			add("%s %.3g", f.name, f.f.Value)
		}
	}
	if d.Capability.Known() {
		add("%s", d.Capability.Value)
	}
	return strings.Join(parts, " ")
}

func smi(fields string) func([]byte) []Device {
	return func(b []byte) []Device { return parseNvidiaSMI(strings.Split(fields, ","), b) }
}

func all(f func([]byte) ([]Device, bool)) func([]byte) []Device {
	return func(b []byte) []Device { d, _ := f(b); return d }
}

func one(f func([]byte) (Device, bool)) func([]byte) []Device {
	return func(b []byte) []Device {
		if d, ok := f(b); ok {
			return []Device{d}
		}
		return nil
	}
}

// twoThirds is what Metal recommends on an M1 Pro with 16 GB.
func twoThirds(_ string, total int64) int64 { return total / 3 * 2 }

// Every sample, with the values that a person reads in it.
func TestSamples(t *testing.T) {
	static := sample(t, "amd-smi_static__mi210__synthetic.json")
	stats := func(name string) func([]byte) []Device {
		return func(b []byte) []Device {
			d, _ := parseXPUDiscovery(b)
			d[0].xpuStats(sample(t, name))
			settle(&Inventory{Devices: d})
			return d
		}
	}
	for _, c := range []struct {
		file  string
		parse func([]byte) []Device
		want  []string
	}{
		{"nvidia-smi_csv__gb10.csv", smi(""), []string{`nvidia:0 unknown busy 0 temp 35 power 11.2`}},
		{"nvidia-smi_csv__rtx4090_x2.csv", smi("addressing_mode,memory.total,name"), []string{
			`nvidia:0 dedicated "NVIDIA GeForce RTX 4090" total 25757220864`, `nvidia:1 dedicated "NVIDIA GeForce RTX 4090" total 25757220864`}},
		{"nvidia-smi_csv__thor_ats.csv", smi("addressing_mode,memory.total,name"), []string{`nvidia:0 unified "NVIDIA Thor"`}},
		{"nvidia-smi_csv__orin_nvgpu.csv", smi("addressing_mode,memory.total,name"), []string{`nvidia:0 unified "Orin (nvgpu)"`}},
		{"tegrastats_old.txt", one(parseTegrastats), []string{`nvidia:tegra unified total 4294967296 used 1073741824 busy 80 temp 70 power 1`}},
		{"rocm-smi_showproductname_showuse_showmeminfo_vram__rx7900xt.json", parseROCmSMI, []string{
			`amd:0 dedicated "Radeon RX 7900 XT" total 21458059264 used 27856896 busy 0 gfx1100`}},
		{"rocm-smi_csv__rx6800_plus_raphael_igpu.csv", parseROCmSMI, []string{
			`amd:0 dedicated "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]" total 17163091968 used 692142080 gfx1030`,
			`amd:1 unified "Raphael" total 67108864 used 26079232 gfx1036`}},
		{"rocm-smi_temp_power__rembrandt_680m.json", parseROCmSMI, []string{
			`amd:0 unified "Rembrandt [Radeon 680M]" total 536870912 used 482263040 busy 0 temp 47 power 9.21`}},
		{"rocm-smi_text_showmeminfo.txt", parseROCmSMI, []string{`amd:0 dedicated total 4278190080 used 108814336`}},
		{"amd-smi_metric__gpu_data_wrapper__rocm7.json", all(func(b []byte) ([]Device, bool) { return parseAMDSMI(b, nil) }), []string{
			`amd:0 dedicated total 32061259776 used 21443379200 free 10617880576 busy 91 temp 54 power 300`}},
		{"amd-smi_metric_usage__bare_list__w7700_rocm6.json", all(func(b []byte) ([]Device, bool) { return parseAMDSMI(b, static) }), []string{
			`0000:03:00.0 dedicated "AMD Instinct MI210" total 68719476736 busy 42`}},
		{"amd-smi_metric__usage_na__igpu.json", all(func(b []byte) ([]Device, bool) { return parseAMDSMI(b, nil) }), []string{
			`amd:2 dedicated total 536870912 used 19922944`}},
		{"macmon_pipe__v0.8.2.json", one(parseMacmon), []string{`apple:0 unified busy 9 temp 37 power 0.0175`}},
		{"macmon_pipe__v0.6_one_line.json", one(parseMacmon), []string{`apple:0 unified busy 1.36 temp 29.4 power 0.0109`}},
		{"powermetrics_gpu_power.txt", one(parsePowermetrics), []string{`apple:0 unified busy 0.97 power 0.004`}},
		{"ioreg_IOGPU_m1pro.txt", func(b []byte) []Device {
			d, _ := appleDevice(map[string]string{"machdep.cpu.brand_string": "Apple M1 Pro", "hw.memsize": "17179869184"}, twoThirds)
			d.ioreg(b)
			return []Device{d}
		}, []string{`apple:0 unified "Apple M1 Pro" total 17179869184 used 7688503296 limit 11453246122 busy 34 16 GPU cores`}},
		{"system_profiler_SPDisplaysDataType__m4max_min.json", all(parseDisplays), []string{`apple:0 unified "Apple M4 Max"`}},
		{"system_profiler_SPDisplaysDataType__m1.json", all(parseDisplays), []string{`apple:0 unified "Apple M1" 7 GPU cores`}},
		{"nvtop_snapshot.json", all(parseNvtop), []string{
			`nvidia:0 dedicated "NVIDIA GeForce RTX 3050 Ti Laptop GPU" total 4294967296 used 349372416 free 3945594880 busy 5 temp 48 power 13`,
			`amd:0 unified "AMD Radeon 680M" total 16929173504 used 1213784064 free 15715389440 busy 12 temp 48 power 9`}},
		{"xpu-smi_v1_discovery__synthetic.json", stats("xpu-smi_v1_stats__synthetic.json"), []string{
			`0000:03:00.0 dedicated "Intel(R) Arc(TM) A770" total 17179869184 used 8589934592 free 8589934592 busy 42.5 temp 58 power 120`}},
		{"xpu-smi_v1_discovery__synthetic.json", stats("xpu-smi_v2_stats__synthetic.json"), []string{
			`0000:03:00.0 dedicated "Intel(R) Arc(TM) A770" total 17179869184 used 8589934592 free 8589934592 busy 12.5 temp 51 power 45.1`}},
	} {
		t.Run(c.file, func(t *testing.T) {
			raw := string(sample(t, c.file))
			for _, text := range []string{raw, "WARNING: AMD GPU device(s) is/are in a low-power state.\n" + raw} {
				if text != raw && !strings.HasSuffix(c.file, ".json") {
					continue
				}
				var got []string
				for _, d := range c.parse([]byte(text)) {
					got = append(got, describe(&d))
				}
				if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
			}
		})
	}
}

// What nobody reports is unsupported, and never zero.
func TestNothingIsZero(t *testing.T) {
	d := smi("")(sample(t, "nvidia-smi_csv__gb10.csv"))[0]
	if d.Total.State != Unsupported || d.Free.State != Unsupported || !strings.Contains(d.Total.Reason, "[N/A]") {
		t.Errorf("total %+v, free %+v", d.Total, d.Free)
	}
	list, _ := parseAMDSMI(sample(t, "amd-smi_metric__usage_na__igpu.json"), nil)
	if u, p := list[0].Utilization, list[0].Power; u.State != Unsupported || p.State != Unsupported {
		t.Errorf("utilization %+v, power %+v", u, p)
	}
}

// Lists of processes, of which amd-smi has three forms.
func TestProcesses(t *testing.T) {
	by := parseSMIProcesses([]byte("GPU-a, 4242, 1000\nGPU-a, 4243, [N/A]\nnonsense\n"))
	if p := by["GPU-a"]; len(p) != 2 || p[0].Used.Value != 1000<<20 || p[1].Used.Known() {
		t.Errorf("nvidia-smi: %+v", p)
	}
	for _, text := range []string{
		`[{"gpu":0,"process_list":[{"process_info":{"name":"python","pid":77,"memory_usage":{"vram_mem":{"value":1048576,"unit":"B"}}}}]}]`,
		`[{"gpu":0,"process_info":{"name":"python","pid":77,"memory_usage":{"vram_mem":{"value":1,"unit":"MB"}}}}]`,
	} {
		devices := []Device{{Index: 0}}
		amdProcesses(devices, []byte(text))
		if p := devices[0].Processes.Value; len(p) != 1 || p[0].PID != 77 || p[0].Used.Value != 1<<20 {
			t.Errorf("%s: %+v", text, p)
		}
	}
	devices := []Device{{Index: 0}}
	amdProcesses(devices, []byte(`[{"gpu":0,"process_info":"No running processes detected"}]`))
	if p := devices[0].Processes; p.State != OK || len(p.Value) != 0 {
		t.Errorf("none: %+v", p)
	}
}

// MIG devices, in the form of nvidia-smi -q -x with a made-up card.
func TestSMIPartitions(t *testing.T) {
	cards := smi("index,uuid,pci.bus_id,memory.total,mig.mode.current,name")([]byte("0, GPU-x, 00000000:01:00.0, 40960, Enabled, NVIDIA A100-SXM4-40GB\n"))
	devices := withPartitions(cards, []byte(`<?xml version="1.0" ?><!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><gpu id="00000000:01:00.0"><mig_mode><current_mig>Enabled</current_mig></mig_mode><mig_devices>
<mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id>
<fb_memory_usage><total>20096 MiB</total><reserved>0 MiB</reserved><used>107 MiB</used><free>19989 MiB</free></fb_memory_usage></mig_device>
<mig_device><index>1</index><gpu_instance_id>5</gpu_instance_id><fb_memory_usage><total>N/A</total></fb_memory_usage></mig_device>
</mig_devices><uuid>GPU-x</uuid></gpu></nvidia_smi_log>`))
	if len(devices) != 3 || devices[0].Excluded != parentCard || devices[1].Total.Value != 20096<<20 || devices[1].Free.Value != 19989<<20 || devices[2].Total.Known() {
		t.Errorf("got %+v", devices)
	}
}

func TestListDevices(t *testing.T) {
	seen, ok := parseListDevices([]byte("ggml_cuda_init: found 2 CUDA devices\nAvailable devices:\n  CUDA0: NVIDIA GeForce RTX 3080 Ti (11909 MiB, 11650 MiB free)\n  CUDA1: NVIDIA RTX PRO 4000 Blackwell SFF Edition (24026 MiB, 23795 MiB free)\n"))
	if !ok || len(seen) != 2 || seen[1].Name != "CUDA1: NVIDIA RTX PRO 4000 Blackwell SFF Edition" || seen[1].Total != 24026<<20 || seen[1].Free != 23795<<20 {
		t.Errorf("got %+v", seen)
	}
	v := View{State: OK, Devices: seen[:1]}
	inv := &Inventory{Devices: []Device{
		{ID: "a", Name: known("x", "RTX 3080 Ti"), Total: known("x", int64(12288)<<20)},
		{ID: "b", Name: known("x", "RTX PRO 4000"), Total: known("x", int64(24467)<<20)},
	}}
	if d := v.Against(inv); len(d) != 2 || !strings.Contains(d[0], "RTX PRO 4000") || !strings.Contains(d[1], "1 devices") {
		t.Errorf("differences: %q", d)
	}
}

// The real one, where CI fetched it: it has no device here, and says so.
func TestRealLlamaServer(t *testing.T) {
	path := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if path == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER is not set")
	}
	if v := LlamaServer(context.Background(), Local(), path); v.State != OK {
		t.Errorf("got %+v", v)
	}
}

// Whatever a tool prints, a parser ends, and says nothing that cannot be.
func FuzzParsers(f *testing.F) {
	entries, err := os.ReadDir("testdata/samples")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		f.Add(sample(f, e.Name()))
	}
	f.Add([]byte(`[[[[{{{"gpu_data":[{"gpu":-1e308,"mem_usage":{"total_vram":1e999}}]}`))
	f.Add([]byte("Available devices:\n  CUDA0: x (999999999999 MiB, 1 MiB free)"))
	f.Add([]byte("9:memory,cpu:/a\n0::/../..\n36 35 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup rw"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var devices []Device
		devices = append(devices, parseNvidiaSMI(smiFields, b)...)
		devices = append(devices, parseROCmSMI(b)...)
		for _, parse := range []func([]byte) ([]Device, bool){parseDisplays, parseNvtop, parseXPUDiscovery, parseAdapters, func(b []byte) ([]Device, bool) { return parseAMDSMI(b, b) }} {
			list, _ := parse(b)
			devices = append(devices, list...)
		}
		for _, parse := range []func([]byte) (Device, bool){parseMacmon, parsePowermetrics, parseTegrastats} {
			if d, ok := parse(b); ok {
				devices = append(devices, d)
			}
		}
		apple, _ := appleDevice(parseSysctl(b), twoThirds)
		apple.ioreg(b)
		apple.xpuStats(b)
		devices = append(devices, apple)
		amdProcesses(devices, b)
		parseSMIProcesses(b)
		withPartitions(devices, b)
		parseListDevices(b)
		kernelDriver(string(b))
		for _, line := range strings.Split(string(b), "\n") {
			mount(line)
		}
		inv := &Inventory{Devices: devices}
		settle(inv)
		for i := range inv.Devices {
			d := &inv.Devices[i]
			for _, f := range []Field[int64]{d.Total, d.Used, d.Free, d.Limit, d.Reserved} {
				if f.Known() && (f.Value < 0 || f.Value > mostBytes) {
					t.Fatalf("%d bytes in %+v", f.Value, d)
				}
			}
		}
	})
}
