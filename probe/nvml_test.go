//go:build linux && cgo

package probe

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// asChild names the library to read; with it this test binary prints what it
// found and ends. A function that a library lacks ends its process, and bound
// ones stay bound: each library has a process of its own.
const asChild = "HWLEDGER_TEST_NVML"

func TestMain(m *testing.M) {
	path := os.Getenv(asChild)
	if path == "" {
		os.Exit(m.Run())
	}
	files := fstest.MapFS{}
	for _, text := range strings.Split(os.Getenv(asChild+"_FILES"), "\n") {
		if name, data, ok := strings.Cut(text, "="); ok {
			files[name] = &fstest.MapFile{Data: []byte(data)}
		}
	}
	sys := &System{OS: "linux", Arch: "amd64", Root: "/", Files: files, Getenv: func(string) string { return "" }, NVML: path}
	s := nvmlSource()
	first := s.Read(context.Background(), sys)
	s.Close()
	second := s.Read(context.Background(), sys) // again, after it was given back
	if len(first.Devices) != len(second.Devices) || first.State != second.State {
		os.Exit(9)
	}
	json.NewEncoder(os.Stdout).Encode(second)
	os.Exit(0)
}

// readNVML reads a library that is built with macros, in a child.
func readNVML(t *testing.T, files string, macros ...string) Reading {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no C compiler")
	}
	lib := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	if macros != nil {
		args := append([]string{"-shared", "-fPIC", "-Wno-unused", "-o", lib, "testdata/fakenvml.c"}, macros...)
		if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"="+lib, asChild+"_FILES="+files)
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if e, ok := err.(*exec.ExitError); ok {
			stderr = e.Stderr
		}
		t.Fatalf("%v\n%s", err, stderr)
	}
	var r Reading
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNVMLCards(t *testing.T) {
	r := readNVML(t, "", "-DCARDS=2")
	if r.State != OK || len(r.Devices) != 2 || len(r.Links) != 1 {
		t.Fatalf("got %+v", r)
	}
	d := r.Devices[1]
	for name, c := range map[string][2]any{
		"id":          {d.ID, "GPU-00000000-0000-0000-0000-000000000002"},
		"pci":         {d.PCI, "0000:02:00.0"},
		"name":        {d.Name.Value, "NVIDIA H100 80GB HBM3"},
		"kind":        {d.Kind, Dedicated},
		"total":       {d.Total.Value, int64(85520809984)},
		"reserved":    {d.Reserved.Value, int64(503316480)},
		"free":        {d.Free.Value, int64(83943751680)},
		"utilization": {d.Utilization.Value, 37.0},
		"power":       {d.Power.Value, 123.4},
		"energy":      {d.Energy.Value, 987654.321},
		"capability":  {d.Capability.Value, "9.0"},
		"runtime":     {d.Runtime.Value, "CUDA 13.0"},
		"max gen":     {d.MaxLinkGen.Value, int64(5)},
		"nvlinks":     {d.NVLinks.Value, int64(18)},
		"mig":         {d.MIG.Value, "disabled"},
		// 5120 bit at 2619 MHz: the data sheet's 3.35 TB/s.
		"bandwidth":     {d.Bandwidth.Value / 1e9, 3352.32},
		"power limit":   {d.PowerLimit.State, Denied},
		"memory sensor": {d.MemoryTemperature.State, Unsupported}, // this driver lacks it
		"processes":     {len(d.Processes.Value), 2},
		"known use":     {d.Processes.Value[0].Used.Value, int64(1048576000)},
		"unknown use":   {d.Processes.Value[1].Used.State, Unsupported},
		"path":          {r.Links[0].Path, "system"},
		"nvlink":        {r.Links[0].NVLink.Value, true},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
}

// A driver that lacks functions must not end the process.
func TestNVMLOldDriver(t *testing.T) {
	r := readNVML(t, "", "-DOLD")
	if r.State != OK || len(r.Devices) != 1 {
		t.Fatalf("got %+v", r)
	}
	d := r.Devices[0]
	if d.Total.Value != 85520809984 || d.Free.Value != 84000000000 || d.Reserved.State != Unsupported {
		t.Errorf("memory %+v, free %+v, reserved %+v", d.Total, d.Free, d.Reserved)
	}
	if d.Energy.State != Unsupported || !strings.Contains(d.Energy.Reason, "older") || d.Bandwidth.Known() || d.Addressing.Known() {
		t.Errorf("energy %+v, bandwidth %+v", d.Energy, d.Bandwidth)
	}
	if p := d.Processes.Value; len(p) != 1 || p[0].PID != 4242 || p[0].Used.Known() {
		t.Errorf("processes %+v", p)
	}
}

// GB10 reports no memory and all the rest, as nvitop's users saw on a DGX
// Spark: its memory is the system's.
func TestNVMLUnified(t *testing.T) {
	r := readNVML(t, "", "-DGB10")
	d := r.Devices[0]
	if d.Kind != Unified || d.Total.State != Unsupported || d.Utilization.Value != 37 || d.Bandwidth.Known() {
		t.Fatalf("got %+v", d)
	}
	raw := string(sample(t, "nvml_raw__gb10.txt"))
	if n := strings.Count(raw, "NVML_ERROR_NOT_SUPPORTED"); n != 2 || !strings.Contains(raw, d.Name.Value) {
		t.Errorf("the stand-in is not what was recorded: %s", raw)
	}
	of := func(key string) int64 { // "  MemTotal:       127600748 kB"
		_, rest, _ := strings.Cut(raw, key+":")
		n, _ := decimal(rest)
		return int64(n) << 10
	}
	inv := &Inventory{Devices: r.Devices, Host: Host{Total: known("host", of("MemTotal")), Usable: known("host", of("MemAvailable"))}}
	settle(inv)
	if d := inv.Devices[0]; d.Total.Value != 127600748<<10 || d.Free.Value != 118566368<<10 || d.Excluded != "" {
		t.Errorf("total %+v, free %+v, excluded %q", d.Total, d.Free, d.Excluded)
	}
}

func TestNVMLPartitions(t *testing.T) {
	r := readNVML(t, "", "-DMIG")
	if len(r.Devices) != 3 {
		t.Fatalf("%d devices, want a card and its two parts", len(r.Devices))
	}
	card, part := r.Devices[0], r.Devices[2]
	if card.Excluded != parentCard || card.Utilization.State != Unsupported {
		t.Errorf("the card: %+v", card)
	}
	if part.Parent != card.ID || part.ID != "MIG-00000000-0000-0000-0000-000000000102" || part.Total.Value != 42144366592 || part.Excluded != "" {
		t.Errorf("its part: %+v", part)
	}
}

func TestNVMLLost(t *testing.T) {
	r := readNVML(t, "", "-DCARDS=2", "-DLOST")
	if len(r.Devices) != 2 || r.Devices[0].Excluded != "" || r.Devices[1].Excluded != isLost || r.Devices[1].Total.Known() || r.Hint == "" {
		t.Errorf("got %+v", r)
	}
}

// A card that there is not even a handle of takes none of the others with it,
// nor their numbers.
func TestNVMLGone(t *testing.T) {
	here := card("0000:01:00.0", "active") + "\n" + card("0000:02:00.0", "active") + "\n" + card("0000:03:00.0", "active")
	r := readNVML(t, here, "-DCARDS=3", "-DGONE")
	if len(r.Devices) != 3 || r.Hint == "" {
		t.Fatalf("got %+v", r)
	}
	for i, want := range []struct {
		pci, excluded string
		index         int
	}{{"0000:01:00.0", "", 0}, {"0000:03:00.0", "", 2}, {"0000:02:00.0", isLost, 1}} {
		if d := r.Devices[i]; d.PCI != want.pci || d.Excluded != want.excluded || d.Index != want.index || d.Total.Known() != (want.excluded == "") {
			t.Errorf("device %d: %+v", i, d)
		}
	}
}

func TestNVMLFailures(t *testing.T) {
	here := card("0000:01:00.0", "active")
	for _, c := range []struct {
		name   string
		files  string
		macros []string
		state  State
		reason string
		hint   string
	}{
		{"no card and no driver", "", nil, Absent, "no NVIDIA card", ""},
		{"a card and no driver", here, nil, Absent, "no driver library", "install the NVIDIA driver"},
		{"in a container", here + "\n.dockerenv=", nil, Absent, "in this container", "--gpus all"},
		{"module not loaded", here, []string{"-DINIT=9"}, Absent, "not loaded", "modprobe"},
		{"library only in a container", here + "\n.dockerenv=", []string{"-DINIT=9"}, Absent, "its devices are not", "nvidia-container-toolkit"},
		{"mismatch", here + "\nproc/driver/nvidia/version=NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  Fri", []string{"-DINIT=18"}, Unsupported, "the module is 570.86.10", "restart"},
		{"revoked by its control group", here, []string{"-DINIT=999"}, Denied, "999", "restart the container"},
		{"permissions", here, []string{"-DINIT=4"}, Denied, "refuses this user", "/dev/nvidia"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := readNVML(t, c.files, c.macros...)
			if r.State != c.state || !strings.Contains(r.Reason, c.reason) || !strings.Contains(r.Hint, c.hint) || (c.hint == "") != (r.Hint == "") {
				t.Errorf("got %s, %q, %q", r.State, r.Reason, r.Hint)
			}
		})
	}
}

// A suspended card is listed and not asked; the one beside it is.
func TestNVMLAsleep(t *testing.T) {
	r := readNVML(t, card("0000:01:00.0", "suspended"), "-DCARDS=1")
	if len(r.Devices) != 1 || r.Devices[0].Excluded != isAsleep || r.Devices[0].Name.Known() {
		t.Errorf("alone: %+v", r.Devices)
	}
	r = readNVML(t, card("0000:01:00.0", "suspended")+"\n"+card("0000:02:00.0", "active"), "-DCARDS=2")
	if len(r.Devices) != 2 || r.Devices[0].Excluded != isAsleep || r.Devices[1].PCI != "0000:02:00.0" || r.Devices[1].Index != 1 || r.Devices[1].Excluded != "" {
		t.Errorf("beside another: %+v", r.Devices)
	}
}
