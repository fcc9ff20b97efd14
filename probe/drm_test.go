package probe

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// The kernel's drm-usage-stats, as amdgpu, i915 and xe write them.
func TestParseDRM(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"amdgpu of old", "pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t36\ndrm-pdev:\t0000:03:00.0\npasid:\t32771\ndrm-memory-vram:\t1048576 KiB\ndrm-memory-gtt: \t2048 KiB\ndrm-memory-cpu: \t0 KiB", "0000:03:00.0 36 1073741824 2097152"},
		{"amdgpu with both names", "drm-pdev:\t0000:03:00.0\ndrm-client-id:\t1\ndrm-memory-vram:\t9 KiB\ndrm-total-vram:\t12 KiB\ndrm-resident-vram:\t8 KiB", "0000:03:00.0 1 8192 0"},
		{"i915", "drm-driver:\ti915\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t7\ndrm-total-system0:\t100 KiB\ndrm-resident-system0:\t4 KiB\ndrm-total-local0:\t9 MiB\ndrm-resident-local0:\t5 MiB", "0000:03:00.0 7 5242880 4096"},
		{"xe, bytes", "drm-pdev:\t0000:04:00.0\ndrm-client-id:\t2\ndrm-resident-vram0:\t4096\ndrm-resident-vram1:\t4096\ndrm-resident-gtt:\t1", "0000:04:00.0 2 8192 1"},
	} {
		d, ok := parseDRM(c.text)
		if got := fmt.Sprintf("%s %s %d %d", d.pci, d.id, d.own, d.system); !ok || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, ok)
		}
	}
	for _, text := range []string{"", "pos:\t0\nflags:\t02", "drm-pdev:\t0000:00:02.0\ndrm-client-id:\t7\ndrm-engine-render:\t5 ns", "drm-pdev:\tx\ndrm-resident-vram:\t-1 KiB"} {
		if d, ok := parseDRM(text); ok {
			t.Errorf("%q: %+v", text, d)
		}
	}
}

// Who uses a card: each client once, whoever else has its file; files that do
// not lead to a card are not read; what may not be looked into makes the list
// a part of one.
func TestDRMProcesses(t *testing.T) {
	client := func(id, kib int) string {
		return fmt.Sprintf("drm-driver:\\tamdgpu\\ndrm-pdev:\\t0000:03:00.0\\ndrm-client-id:\\t%d\\ndrm-memory-vram:\\t%d KiB\\ndrm-memory-gtt:\\t64 KiB", id, kib)
	}
	files := tree(`
sys/class/drm/card0/device/vendor=0x1002
sys/class/drm/card0/device/uevent=PCI_SLOT_NAME=0000:03:00.0
sys/class/drm/card0/device/mem_info_vram_total=21458059264
proc/99/fdinfo/5=` + client(1, 1024) + `
proc/99/fdinfo/6=` + client(1, 1024) + `
proc/99/fdinfo/7=` + client(2, 512) + `
proc/100/fdinfo/5=` + client(1, 1024) + `
proc/100/fdinfo/8=` + client(9, 4096) + `
proc/101/fdinfo/3=` + client(4, 0) + `
proc/self/cgroup=0::/`)
	for path, to := range map[string]string{
		"proc/99/fd/5": "/dev/dri/renderD128", "proc/99/fd/6": "/dev/dri/card0", "proc/99/fd/7": "/dev/dri/renderD128",
		"proc/100/fd/5": "/dev/dri/renderD128", "proc/100/fd/8": "/tmp/x", "proc/101/fd/3": "/dev/dri/renderD128",
	} {
		files[path] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(to)}
	}
	got := func(sys *System) Field[[]Process] {
		inv := New(sys, amdgpuSource()).Probe(context.Background())
		return inv.Devices[0].Processes
	}
	p := got(machine(files))
	if len(p.Value) != 2 || p.Value[0].PID != 99 || p.Value[0].Used.Value != 1536<<10 || p.Value[1].PID != 101 || p.Value[1].Used.Value != 0 || p.Reason != "" {
		t.Errorf("got %+v", p)
	}
	files["proc/102/fd/1"] = &fstest.MapFile{}
	p = got(machine(closed{files, "proc/102/fd"}))
	if len(p.Value) != 2 || !strings.Contains(p.Reason, "not all: 1 process") {
		t.Errorf("with another user's: %+v", p)
	}
	d := Device{Processes: p}
	if mine, other := d.Of(99), d.Of(102); mine.Value != 1536<<10 || other.Known() || other.Reason == "" {
		t.Errorf("of one in the list %+v, of one that may be: %+v", mine, other)
	}
}

// What a list of NVIDIA's does not say: in a container its PIDs may be the
// host's, and an empty one is no proof that nobody uses the card.
func TestQualify(t *testing.T) {
	two := known("nvml", []Process{{PID: 41, Used: known("nvml", int64(1))}, {PID: 4242, Used: known("nvml", int64(2))}})
	none := known("nvml", []Process{})
	const here = "proc/1/cgroup=0::/\nproc/41/stat=x\nproc/4242/stat=x\nproc/version=Linux version 6.1"
	for _, c := range []struct {
		name, files  string
		list         Field[[]Process]
		of41, of9    bool // known
		reasonInList string
	}{
		{"the host", here, two, true, true, ""},
		{"the host, nobody", here, none, true, true, ""},
		{"a container with the host's PIDs", "proc/1/cgroup=0::/\nproc/41/stat=x\n.dockerenv=", two, false, false, "host's"},
		{"a container that shares them", here + "\n.dockerenv=", two, true, true, ""},
		{"a container that is shown none", here + "\n.dockerenv=", none, false, false, "not all"},
		{"Windows' Linux", "proc/version=Linux version 5.15.153.1-microsoft-standard-WSL2", none, false, false, "Windows"},
		{"no list", here, missing[[]Process]("nvml", Denied, "no"), false, false, "no"},
	} {
		devices := []Device{{Processes: c.list}}
		qualify(machine(tree(c.files)), devices)
		d := &devices[0]
		if a, b := d.Of(41), d.Of(9); a.Known() != c.of41 || b.Known() != c.of9 || !strings.Contains(d.Processes.Reason, c.reasonInList) || (c.reasonInList == "") != (d.Processes.Reason == "") {
			t.Errorf("%s: 41 %+v, 9 %+v, list %+v", c.name, a, b, d.Processes)
		}
	}
}

// closed is denied, and follows links.
type closed struct {
	fstest.MapFS
	path string
}

func (c closed) Open(name string) (fs.File, error) { return denied{c.MapFS, c.path}.Open(name) }

func (c closed) ReadDir(name string) ([]fs.DirEntry, error) {
	if strings.HasPrefix(name, c.path) {
		return nil, fs.ErrPermission
	}
	return c.MapFS.ReadDir(name)
}

func FuzzDRM(f *testing.F) {
	f.Add("drm-pdev:\t0000:03:00.0\ndrm-client-id:\t1\ndrm-memory-vram:\t9 KiB\ndrm-resident-vram:\t8 MiB")
	f.Fuzz(func(t *testing.T, text string) {
		if c, ok := parseDRM(text); ok && (c.own < 0 || c.system < 0 || c.own > mostBytes || c.system > mostBytes) {
			t.Errorf("%q: %+v", text, c)
		}
	})
}
