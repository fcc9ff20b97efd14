package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// script puts a program of that name first in PATH.
func script(t *testing.T, name, body string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("shell scripts")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestRunCommand(t *testing.T) {
	ctx := context.Background()
	if _, err := runCommand(ctx, Command{Name: "no-such-tool-of-hwledger"}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	script(t, "failing", `echo out; echo "went wrong" >&2; exit 9`)
	out, err := runCommand(ctx, Command{Name: "failing"})
	var e *ExecError
	if !errors.As(err, &e) || e.Code != 9 || e.Stderr != "went wrong" || string(out) != "out\n" {
		t.Errorf("failing: %q, %v", out, err)
	}
	script(t, "locale", `echo "$LC_ALL"`)
	if out, err := runCommand(ctx, Command{Name: "locale"}); err != nil || string(out) != "C\n" {
		t.Errorf("locale: %q, %v", out, err)
	}
	script(t, "endless", `yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 20000000`)
	if out, err := runCommand(ctx, Command{Name: "endless"}); err != nil || len(out) != commandOutput {
		t.Errorf("endless: %d bytes, %v", len(out), err)
	}
	script(t, "lines", `echo first; exec sleep 60`)
	start := time.Now()
	if out, err := runCommand(ctx, Command{Name: "lines", Line: true}); err != nil || string(out) != "first" {
		t.Errorf("line: %q, %v", out, err)
	}
	// Its child keeps the pipe open after it was stopped.
	script(t, "hung", `sleep 60 & sleep 60`)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := runCommand(short, Command{Name: "hung"}); !errors.As(err, &e) || !e.Timeout || e.Code != -1 {
		t.Errorf("hung: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("bounded commands took %v", took)
	}
}

// tools answers commands from a table of "name args" prefixes.
func tools(t *testing.T, sys *System, answers map[string]any) *System {
	t.Helper()
	sys.Run = func(_ context.Context, c Command) ([]byte, error) {
		line := c.Name + " " + strings.Join(c.Args, " ")
		best := ""
		for prefix := range answers {
			if strings.HasPrefix(line, prefix) && len(prefix) > len(best) {
				best = prefix
			}
		}
		switch v := answers[best].(type) {
		case nil:
			return nil, exec.ErrNotFound
		case error:
			return nil, v
		case string:
			return []byte(v), nil
		case func(Command) ([]byte, error):
			return v(c)
		}
		t.Fatalf("%s: what is that answer?", line)
		return nil, nil
	}
	return sys
}

func TestNvidiaSMI(t *testing.T) {
	// An older version that does not know two of the fields.
	old := func(c Command) ([]byte, error) {
		for _, f := range []string{"addressing_mode", "memory.reserved"} {
			if strings.Contains(c.Args[0], f) {
				return []byte(`Field "` + f + `" is not a valid field to query.` + "\n\n"), &ExecError{Name: "nvidia-smi", Code: 2}
			}
		}
		return []byte("0, GPU-x, 00000000:01:00.0, 24564, 1000, 23564, 5, 3, 41, 30.5, 450.00, 1, 4, 16, 16, 535.104.05, [N/A], 8.9, NVIDIA GeForce RTX 4090\n"), nil
	}
	r := readNvidiaSMI(context.Background(), tools(t, machine(tree(card("0000:01:00.0", "active"))), map[string]any{
		"nvidia-smi --query-gpu": old, "nvidia-smi --query-compute-apps": "GPU-x, 4242, 900\n",
	}))
	if r.State != OK || len(r.Devices) != 1 {
		t.Fatalf("got %+v", r)
	}
	d := r.Devices[0]
	if got := describe(&d); got != `GPU-x dedicated "NVIDIA GeForce RTX 4090" total 25757220864 used 1048576000 free 24708644864 busy 5 temp 41 power 30.5 8.9` {
		t.Errorf("got %s", got)
	}
	if d.PCI != "0000:01:00.0" || d.MaxLinkGen.Value != 4 || d.MIG.Known() || len(d.Processes.Value) != 1 {
		t.Errorf("got %+v", d)
	}

	for _, c := range []struct {
		name   string
		err    error
		state  State
		reason string
	}{
		{"no device, and well", nil, Absent, "finds no device"},
		{"not installed", exec.ErrNotFound, Absent, "not installed"},
		{"mismatch by its status", &ExecError{Name: "nvidia-smi", Code: 18}, Unsupported, "two versions"},
		{"mismatch by its text", &ExecError{Name: "nvidia-smi", Code: 255, Stderr: "Failed to initialize NVML: Driver/library version mismatch"}, Unsupported, "two versions"},
		{"no driver", &ExecError{Name: "nvidia-smi", Code: 9, Stderr: "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."}, Absent, "not loaded"},
		{"hung", &ExecError{Name: "nvidia-smi", Code: -1, Timeout: true}, Unsupported, "did not answer"},
		{"lost", &ExecError{Name: "nvidia-smi", Code: 15}, Unsupported, "lost"},
	} {
		r := readNvidiaSMI(context.Background(), tools(t, machine(tree(card("0000:01:00.0", "active"))), map[string]any{"nvidia-smi": func(Command) ([]byte, error) {
			return []byte("No devices were found\n"), c.err
		}}))
		if r.State != c.state || !strings.Contains(r.Reason, c.reason) {
			t.Errorf("%s: %s, %q", c.name, r.State, r.Reason)
		}
	}
}

// A suspended laptop's card: no tool is run.
func TestNvidiaSMIAsleep(t *testing.T) {
	sys := machine(tree(card("0000:01:00.0", "suspended")))
	sys.Run = func(_ context.Context, c Command) ([]byte, error) {
		t.Errorf("%s was run", c.Name)
		return nil, exec.ErrNotFound
	}
	inv := New(sys, pciSource(), nvidiaSMISource()).Probe(context.Background())
	if len(inv.Devices) != 1 || inv.Devices[0].Excluded != isAsleep || inv.Devices[0].LinkWidth.State != "" {
		t.Errorf("got %+v", inv.Devices)
	}
}

// A Mac by all its tools together: one device, what each knows best.
func TestMac(t *testing.T) {
	sys := machine(tree(""))
	sys.OS, sys.UID, sys.GPULimit = "darwin", 501, twoThirds
	read := func(name string) string { return string(sample(t, name)) }
	answers := map[string]any{
		"sysctl":          "hw.memsize: 17179869184\nmachdep.cpu.brand_string: Apple M1 Pro\niogpu.wired_limit_mb: 0\n",
		"ioreg":           read("ioreg_IOGPU_m1pro.txt"),
		"system_profiler": `{"SPDisplaysDataType":[{"_name":"Apple M1 Pro","sppci_cores":"16","spdisplays_vendor":"sppci_vendor_Apple"}]}`,
		"macmon":          read("macmon_pipe__v0.8.2.json"),
	}
	sources := []Source{appleSource(), macmonSource(), displaysSource(), powermetricsSource()}
	inv := New(tools(t, sys, answers), sources...).Probe(context.Background())
	if len(inv.Devices) != 1 {
		t.Fatalf("got %+v", inv.Devices)
	}
	if got := describe(&inv.Devices[0]); got != `apple:0 unified "Apple M1 Pro" total 17179869184 used 7688503296 free 3764742826 limit 11453246122 busy 34 temp 37 power 0.0175 16 GPU cores` {
		t.Errorf("got %s", got)
	}
	if l := inv.Devices[0].Limit; l.Source != "estimated" {
		t.Errorf("limit %+v", l)
	}
	answers["sysctl"] = "hw.memsize: 17179869184\nmachdep.cpu.brand_string: Apple M1 Pro\niogpu.wired_limit_mb: 14336\n"
	delete(answers, "macmon")
	inv = New(tools(t, sys, answers), sources...).Probe(context.Background())
	if d := inv.Devices[0]; d.Limit.Value != 14336<<20 || d.Free.Value != 14336<<20-7688503296 || d.Power.Known() {
		t.Errorf("with a limit set: %+v", d)
	}
	states := map[string]State{}
	for _, s := range inv.Sources {
		states[s.Name] = s.State
	}
	if states["macmon"] != Absent || states["powermetrics"] != Denied {
		t.Errorf("sources %v", states)
	}
	answers["sysctl"] = "hw.memsize: 17179869184\nmachdep.cpu.brand_string: Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz\n"
	answers["system_profiler"] = `{"SPDisplaysDataType":[{"sppci_model":"Intel UHD Graphics 630","spdisplays_vendor":"Intel","spdisplays_vram_shared":"1536 MB"},{"sppci_model":"AMD Radeon Pro 5500M","spdisplays_vendor":"sppci_vendor_amd","spdisplays_vram":"8 GB"}]}`
	inv = New(tools(t, sys, answers), sources...).Probe(context.Background())
	if len(inv.Devices) != 2 || inv.Devices[0].Total.Value != 8<<30 || inv.Devices[1].Excluded != besideCard {
		t.Errorf("with Intel's processor: %+v", inv.Devices)
	}
}

func TestWindows(t *testing.T) {
	sys := machine(tree(""))
	sys.OS = "windows"
	inv := New(tools(t, sys, map[string]any{
		"powershell":             `[{"Name":"NVIDIA GeForce RTX 4090","DriverVersion":"32.0.15.6094","PNPDeviceID":"PCI\\VEN_10DE&DEV_2684&SUBSYS_1"},{"Name":"Microsoft Remote Display Adapter","DriverVersion":"10","PNPDeviceID":"SWD\\REMOTEDISPLAYENUM"},{"Name":"Intel(R) UHD Graphics 770","DriverVersion":"31","PNPDeviceID":"PCI\\VEN_8086&DEV_4680"}]`,
		"nvidia-smi --query-gpu": "0, GPU-x, 00000000:01:00.0, 24564, 1000, 23200, 364, 5, 3, 41, 30.5, 450.00, 1, 4, 16, 16, 560.94, [N/A], 8.9, None, NVIDIA GeForce RTX 4090\n",
	}), nvidiaSMISource(), windowsSource()).Probe(context.Background())
	if len(inv.Devices) != 2 || inv.Devices[0].Total.Value != 24564<<20 || inv.Devices[0].Excluded != "" || inv.Devices[1].Vendor != "intel" || inv.Devices[1].Total.Known() {
		t.Errorf("got %+v", inv.Devices)
	}
}

// Vendors' slow tools are run where the bus shows a card of theirs that its
// driver's files do not tell of, and nowhere else.
func TestToolsInstead(t *testing.T) {
	bus := func(vendor string) string {
		dir := "sys/bus/pci/devices/0000:03:00.0"
		return dir + "/vendor=" + vendor + "\n" + dir + "/class=0x030000"
	}
	read := func(name string) string { return string(sample(t, name)) }
	for _, c := range []struct {
		name, files string
		answers     map[string]any
		source      string
		want        string
	}{
		{"amd-smi", bus("0x1002"), map[string]any{
			"amd-smi metric": read("amd-smi_metric__gpu_data_wrapper__rocm7.json"), "amd-smi process": `[{"gpu":0,"process_info":"No running processes detected"}]`,
		}, "amd-smi", `0000:03:00.0 dedicated "PCI device 1002:" total 32061259776 used 21443379200 free 10617880576 busy 91 temp 54 power 300`},
		{"rocm-smi, as amd-smi is not there", bus("0x1002"), map[string]any{
			"rocm-smi": read("rocm-smi_showproductname_showuse_showmeminfo_vram__rx7900xt.json"),
		}, "rocm-smi", `0000:03:00.0 dedicated "Radeon RX 7900 XT" total 21458059264 used 27856896 free 21430202368 busy 0 gfx1100`},
		{"xpu-smi, whose list has no sizes", bus("0x8086"), map[string]any{
			"xpu-smi discovery -j":      `{"device_list":[{"device_id":0,"device_name":"Intel(R) Arc(TM) Pro B60","pci_bdf_address":"0000:03:00.0"}]}`,
			"xpu-smi discovery -d 0 -j": `{"device_id":0,"memory_physical_size_byte":25669140480}`,
			"xpu-smi stats -d 0 -j":     read("xpu-smi_v2_stats__synthetic.json"),
		}, "xpu-smi", `0000:03:00.0 dedicated "Intel(R) Arc(TM) Pro B60" total 25669140480 used 8589934592 free 17079205888 busy 12.5 temp 51 power 45.1`},
		{"no card", "sys/bus/pci/devices/0000:00:02.0/vendor=0x1234", map[string]any{
			"amd-smi": &ExecError{Name: "amd-smi"}, "rocm-smi": &ExecError{Name: "rocm-smi"}, "xpu-smi": &ExecError{Name: "xpu-smi"},
		}, "", ""},
	} {
		inv := New(tools(t, machine(tree(c.files)), c.answers), amdgpuSource(), amdSMISource(), rocmSMISource(), intelSource(), xpuSMISource(), pciSource()).Probe(context.Background())
		got := ""
		if len(inv.Devices) > 0 {
			got = describe(&inv.Devices[0])
		}
		if got != c.want || len(inv.Devices) > 1 {
			t.Errorf("%s: got %d devices, %s", c.name, len(inv.Devices), got)
		}
		for _, s := range inv.Sources {
			switch asked := !strings.HasPrefix(s.Reason, "not asked"); {
			case s.Name == c.source && s.State != OK, c.source == "" && strings.HasSuffix(s.Name, "-smi") && asked:
				t.Errorf("%s: %+v", c.name, s)
			}
		}
	}
}
