package probe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// tree makes a file system of lines "path=content"; \n in a content is a line
// break.
func tree(lines string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, line := range strings.Split(lines, "\n") {
		name, content, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok {
			files[name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(content))}
		}
	}
	return files
}

// machine is a Linux system with files and no commands.
func machine(files fs.FS) *System {
	return &System{
		OS: "linux", Arch: "amd64", Root: "/nowhere", Files: files, UID: 1000, Getenv: func(string) string { return "" },
		Run: func(_ context.Context, c Command) ([]byte, error) { return nil, fs.ErrNotExist },
	}
}

// card is one NVIDIA card on the PCI bus.
func card(address, status string) string {
	dir := "sys/bus/pci/devices/" + address
	return dir + "/vendor=0x10de\n" + dir + "/class=0x030200\n" + dir + "/power/runtime_status=" + status
}

// denied refuses some files, as a kernel refuses other users.
type denied struct {
	fs.FS
	path string
}

func (d denied) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, d.path) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.FS.Open(name)
}

// The memory of the Strix Halo is what its owner's kernel printed; llama.cpp's
// HIP backend calls the mapped part 98304 MiB.
const strixHalo = `
sys/class/drm/card1/device/vendor=0x1002
sys/class/drm/card1/device/device=0x1586
sys/class/drm/card1/device/revision=0xd1
sys/class/drm/card1/device/uevent=DRIVER=amdgpu\nPCI_SLOT_NAME=0000:c4:00.0
sys/class/drm/card1/device/drm/renderD128/dev=226:128
sys/class/drm/card1/device/mem_info_gtt_used=1073741824
sys/class/drm/card1/device/mem_info_vram_used=536870912
sys/class/drm/card1/device/gpu_busy_percent=7
sys/class/drm/card1/device/hwmon/hwmon4/temp1_input=45000
sys/class/drm/card1/device/hwmon/hwmon4/power1_average=9020000
sys/class/drm/card1-DP-1/status=connected
sys/class/kfd/kfd/topology/nodes/0/properties=cpu_cores_count 32\ngfx_target_version 0\ndrm_render_minor 0
sys/class/kfd/kfd/topology/nodes/1/properties=simd_count 80\ngfx_target_version 110501\ndrm_render_minor 128
usr/share/libdrm/amdgpu.ids=1.0.0\n1586,	C1,	AMD Radeon 8060S Graphics\n1586,	D1,	AMD Radeon 8060S Graphics
dev/kfd=x
`

// printed returns the files that a sample shows with cat, for tree.
func printed(t *testing.T, name string) string {
	t.Helper()
	var b strings.Builder
	path := ""
	for _, line := range strings.Split(string(sample(t, name)), "\n") {
		if rest, ok := strings.CutPrefix(line, "$ cat /"); ok {
			path = rest
		} else if path != "" {
			b.WriteString(path + "=" + line + "\n")
			path = ""
		}
	}
	return b.String()
}

func TestStrixHalo(t *testing.T) {
	r := amdgpuSource().Read(context.Background(), machine(tree(strixHalo+printed(t, "amdgpu_sysfs__strix_halo_128g_gtt.txt"))))
	if r.State != OK || len(r.Devices) != 1 || r.Hint != "" {
		t.Fatalf("got %+v", r)
	}
	inv := &Inventory{Devices: r.Devices, Host: Host{Usable: known("host", int64(90)<<30), Total: known("host", int64(125)<<30)}}
	settle(inv)
	d := inv.Devices[0]
	if got := describe(&d); got != `0000:c4:00.0 unified "AMD Radeon 8060S Graphics" total 107374182400 used 1610612736 free 100394860544 busy 7 temp 45 power 9.02 gfx1151` {
		t.Errorf("got %s", got)
	}
	if d.Free.Source != "host" || !strings.Contains(d.Total.Reason, "103079215104") {
		t.Errorf("free %+v, total %+v", d.Free, d.Total)
	}
	if d.Processes.State != Absent || d.Processes.Reason == "" {
		t.Errorf("processes, which nothing lists: %+v", d.Processes)
	}
	if d.LinkWidth.State != Unsupported || d.MemoryBusy.State != Unsupported {
		t.Errorf("what the driver has not: %+v, %+v", d.LinkWidth, d.MemoryBusy)
	}
}

// Memory that the firmware set aside is not the system's: what is free of it
// is free whatever the system has, and what may be mapped is held to that.
func TestCarvedOut(t *testing.T) {
	files := tree(strixHalo + "sys/class/drm/card1/device/mem_info_vram_total=103079215104\nsys/class/drm/card1/device/mem_info_gtt_total=68719476736")
	inv := &Inventory{
		Devices: amdgpuSource().Read(context.Background(), machine(files)).Devices,
		Host:    Host{Total: known("host", int64(31)<<30), Usable: known("host", int64(20)<<30)},
	}
	settle(inv)
	if d := inv.Devices[0]; d.Total.Value != (96+31)<<30 || d.Free.Value != (96+20)<<30-536870912 {
		t.Errorf("total %+v, free %+v, want 96 GiB and what the system has", d.Total, d.Free)
	}
}

// A card keeps its GTT out of its memory, and the graphics of the processor
// beside it are listed and not planned on.
func TestCardBesideProcessor(t *testing.T) {
	files := tree(`
sys/class/drm/card0/device/vendor=0x1002
sys/class/drm/card0/device/device=0x744c
sys/class/drm/card0/device/uevent=PCI_SLOT_NAME=0000:03:00.0
sys/class/drm/card0/device/drm/renderD128/dev=x
sys/class/drm/card0/device/mem_info_vram_total=21458059264
sys/class/drm/card0/device/mem_info_vram_used=27856896
sys/class/drm/card0/device/mem_info_gtt_total=33000000000
sys/class/drm/card0/device/current_link_speed=16.0 GT/s PCIe
sys/class/drm/card0/device/max_link_speed=16.0 GT/s PCIe
sys/class/drm/card0/device/current_link_width=16
sys/class/drm/card0/device/max_link_width=255
sys/class/drm/card0/device/hwmon/hwmon2/temp3_label=mem
sys/class/drm/card0/device/hwmon/hwmon2/temp3_input=62000
sys/class/drm/card0/device/hwmon/hwmon2/power1_input=18000000
sys/class/drm/card1/device/vendor=0x1002
sys/class/drm/card1/device/uevent=PCI_SLOT_NAME=0000:12:00.0
sys/class/drm/card1/device/drm/renderD129/dev=x
sys/class/drm/card1/device/mem_info_vram_total=67108864
sys/class/drm/card1/device/mem_info_vram_used=26079232
sys/class/drm/card1/device/mem_info_gtt_total=33000000000
sys/class/drm/card1/device/mem_info_gtt_used=0
sys/class/kfd/kfd/topology/nodes/0/properties=gfx_target_version 0
sys/class/kfd/kfd/topology/nodes/1/properties=gfx_target_version 110000\ndrm_render_minor 128
sys/class/kfd/kfd/topology/nodes/2/properties=gfx_target_version 100306\ndrm_render_minor 129
sys/bus/pci/devices/0000:03:00.0/vendor=0x1002
sys/bus/pci/devices/0000:03:00.0/device=0x744c
sys/bus/pci/devices/0000:03:00.0/class=0x030000
sys/bus/pci/devices/0000:03:00.0/numa_node=-1
sys/bus/pci/devices/0000:12:00.0/vendor=0x1002
sys/bus/pci/devices/0000:12:00.0/class=0x030000
usr/share/misc/pci.ids=# comment\n1002  Advanced Micro Devices, Inc. [AMD/ATI]\n\t744b  Navi\n\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX]\n\t\t1da2 e471  NITRO+\n10de  NVIDIA Corporation\n\t744c  Wrong
`)
	sys := machine(denied{files, "dev/kfd"})
	inv := New(sys, amdgpuSource(), pciSource()).Probe(context.Background())
	if len(inv.Devices) != 2 {
		t.Fatalf("%d devices, want each once", len(inv.Devices))
	}
	gpu, igpu := inv.Devices[0], inv.Devices[1]
	if got := describe(&gpu); got != `0000:03:00.0 dedicated "Radeon RX 7900 XT/7900 XTX" total 21458059264 used 27856896 free 21430202368 power 18 gfx1100` {
		t.Errorf("the card: %s", got)
	}
	if gpu.MaxLinkGen.Value != 4 || gpu.LinkWidth.Value != 16 || gpu.MaxWidth.State != Unsupported || gpu.MemoryTemperature.Value != 62 || gpu.NUMANode.Known() || gpu.Excluded != "" {
		t.Errorf("the card: %+v", gpu)
	}
	if igpu.Excluded != besideCard || igpu.Kind != Unified {
		t.Errorf("the processor's: %+v", igpu)
	}
	report := inv.Sources[0]
	if !strings.Contains(report.Hint, "render") || !strings.Contains(report.Reason, "/dev/kfd") {
		t.Errorf("access: %+v", report)
	}
}

func TestIntelTrees(t *testing.T) {
	for _, c := range []struct{ name, files, want string }{
		{"i915 with local memory", `
sys/class/drm/card0/device/vendor=0x8086
sys/class/drm/card0/device/uevent=DRIVER=i915\nPCI_SLOT_NAME=0000:03:00.0
sys/class/drm/card0/lmem_total_bytes=17079205888
sys/class/drm/card0/lmem_avail_bytes=16000000000`, `0000:03:00.0 dedicated total 17079205888 free 16000000000`},
		{"xe with two tiles", `
sys/class/drm/card1/device/vendor=0x8086
sys/class/drm/card1/device/uevent=DRIVER=xe\nPCI_SLOT_NAME=0000:04:00.0
sys/class/drm/card1/device/tile0/physical_vram_size_bytes=12884901888
sys/class/drm/card1/device/tile1/physical_vram_size_bytes=12884901888`, `0000:04:00.0 dedicated total 25769803776`},
		{"graphics of a processor", `
sys/class/drm/card0/device/vendor=0x8086
sys/class/drm/card0/device/uevent=DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0`, `0000:00:02.0 shared`},
	} {
		r := intelSource().Read(context.Background(), machine(tree(c.files)))
		if len(r.Devices) != 1 || describe(&r.Devices[0]) != c.want {
			t.Errorf("%s: %+v", c.name, r.Devices)
		}
	}
}

// Power comes from the counter of energy, from the second read on.
func TestIntelPower(t *testing.T) {
	files := tree("sys/class/drm/card0/device/vendor=0x8086\nsys/class/drm/card0/device/uevent=PCI_SLOT_NAME=0000:03:00.0\nsys/class/drm/card0/device/hwmon/hwmon1/energy1_input=1000000")
	s := intelSource()
	sys := machine(files)
	if d := s.Read(context.Background(), sys).Devices[0]; d.Power.Known() || d.Energy.Value != 1 {
		t.Errorf("first: %+v", d.Power)
	}
	files["sys/class/drm/card0/device/hwmon/hwmon1/energy1_input"].Data = []byte("900000000")
	for at := time.Now(); time.Since(at) == 0; { // some clocks have long ticks
	}
	if d := s.Read(context.Background(), sys).Devices[0]; !d.Power.Known() || d.Power.Value <= 0 {
		t.Errorf("second: %+v", d.Power)
	}
}

// A card without a driver, and processors for networks, are there: their
// memory is unknown. Displays of virtual machines compute nothing.
func TestPresentOnly(t *testing.T) {
	inv := New(machine(tree(`
sys/bus/pci/devices/0000:00:02.0/vendor=0x1234
sys/bus/pci/devices/0000:00:02.0/class=0x030000
sys/bus/pci/devices/0000:65:00.0/vendor=0x10de
sys/bus/pci/devices/0000:65:00.0/device=0x2684
sys/bus/pci/devices/0000:65:00.0/class=0x030000
sys/bus/pci/devices/0000:66:00.0/vendor=0x10ec
sys/bus/pci/devices/0000:66:00.0/class=0x020000
sys/class/accel/accel0/device/vendor=0x8086
sys/class/accel/accel0/device/uevent=DRIVER=intel_vpu\nPCI_SLOT_NAME=0000:00:0b.0
`)), pciSource(), accelSource()).Probe(context.Background())
	if len(inv.Devices) != 2 {
		t.Fatalf("got %+v", inv.Devices)
	}
	for _, d := range inv.Devices {
		if d.Excluded != noDriver || d.Total.Known() || d.Total.Reason == "" || d.Kind != Unknown {
			t.Errorf("got %+v", d)
		}
	}
}

// Files that a user may not read are denied, not absent.
func TestDenied(t *testing.T) {
	sys := machine(denied{tree(strixHalo), "sys/class/drm/card1/device/mem_info"})
	d := amdgpuSource().Read(context.Background(), sys).Devices[0]
	if d.Total.State != Denied || d.Used.State != Denied || !d.Utilization.Known() {
		t.Errorf("total %+v, utilization %+v", d.Total, d.Utilization)
	}
}

func TestAMDAsleep(t *testing.T) {
	r := amdgpuSource().Read(context.Background(), machine(tree(strixHalo+"sys/bus/pci/devices/0000:c4:00.0/power/runtime_status=suspended")))
	if d := r.Devices[0]; d.Excluded != isAsleep || d.Utilization.State != "" {
		t.Errorf("got %+v", d)
	}
}

// Control groups: the least limit on the way up, with cache counted as room.
func TestControlGroups(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name, files string
		limit, room int64 // 0: none
		quota       float64
	}{
		{"version 2, limit above", `
proc/self/cgroup=0::/user.slice/app
proc/self/mountinfo=30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw
sys/fs/cgroup/user.slice/app/memory.max=max
sys/fs/cgroup/user.slice/app/memory.current=9663676416
sys/fs/cgroup/user.slice/app/cpu.max=max 100000
sys/fs/cgroup/user.slice/memory.max=10737418240
sys/fs/cgroup/user.slice/memory.high=8589934592
sys/fs/cgroup/user.slice/memory.current=6442450944
sys/fs/cgroup/user.slice/memory.stat=anon 1\ninactive_file 2147483648\nslab_reclaimable 1073741824
sys/fs/cgroup/user.slice/cpu.max=150000 100000`, 8 * gib, 5 * gib, 1.5},
		{"version 2 in a container", `
proc/self/cgroup=0::/
proc/self/mountinfo=1 2 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw
sys/fs/cgroup/memory.max=4294967296
sys/fs/cgroup/memory.current=1073741824`, 4 * gib, 3 * gib, 0},
		{"version 1 in a container that shows its own part", `
proc/self/cgroup=4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc
proc/self/mountinfo=1 2 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n1 2 0:27 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct
sys/fs/cgroup/memory/memory.limit_in_bytes=2147483648
sys/fs/cgroup/memory/memory.usage_in_bytes=2147483648
sys/fs/cgroup/memory/memory.stat=total_inactive_file 1073741824
sys/fs/cgroup/cpu/cpu.cfs_quota_us=50000
sys/fs/cgroup/cpu/cpu.cfs_period_us=100000`, 2 * gib, gib, 0.5},
		{"hybrid: version 1 works, version 2 is empty", `
proc/self/cgroup=4:memory:/process_api/c3d7\n1:cpu:/\n0::/
proc/self/mountinfo=35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw
sys/fs/cgroup/memory/process_api/c3d7/memory.limit_in_bytes=9223372036854771712
sys/fs/cgroup/memory/memory.limit_in_bytes=9223372036854771712
sys/fs/cgroup/unified/cgroup.procs=1`, 0, 0, 0},
		{"no control groups", ``, 0, 0, 0},
		{"nonsense", `
proc/self/cgroup=x\n::\n0::/../../etc
proc/self/mountinfo=- - -\n1 2 3 / /sys/fs/cgroup rw - cgroup2 x rw
sys/fs/cgroup/memory.max=-5`, 0, 0, 0},
	} {
		sys := machine(tree(c.files))
		limit, room := cgroupMemory(sys)
		quota := cpuQuota(sys)
		if limit.Or(0) != c.limit || room.Or(0) != c.room || quota.Or(0) != c.quota {
			t.Errorf("%s: limit %+v, room %+v, quota %+v", c.name, limit, room, quota)
		}
	}
}

// The host of a small tree on disk, as gopsutil and this package read it.
func TestHost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("gopsutil asks Windows itself")
	}
	root := t.TempDir()
	for name, f := range tree(`
proc/meminfo=MemTotal:       127600748 kB\nMemFree:        1000000 kB\nMemAvailable:   118566368 kB\nBuffers: 0 kB\nCached: 0 kB\nSwapTotal: 0 kB\nHugePages_Free:       16\nHugepagesize:       2048 kB
proc/version=Linux version 5.15.153.1-microsoft-standard-WSL2 (gcc)
proc/self/limits=Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         65536                65536                bytes
proc/self/cgroup=0::/
proc/self/mountinfo=1 2 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw
proc/1/cgroup=0::/kubepods/burstable
sys/fs/cgroup/memory.max=34359738368
sys/fs/cgroup/memory.current=2147483648
sys/devices/system/node/node0/cpulist=0-15
sys/devices/system/node/node0/meminfo=Node 0 MemTotal:       65808 kB\nNode 0 MemFree:        1024 kB
sys/devices/system/node/node1/cpulist=16-31
`) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.Data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	sys := machine(os.DirFS(root))
	sys.Root = root
	h := New(sys, hostSource()).Probe(context.Background()).Host
	for name, c := range map[string][2]any{
		"total":     {h.Total.Value, int64(127600748) << 10},
		"available": {h.Available.Value, int64(118566368) << 10},
		"limit":     {h.Limit.Value, int64(32) << 30},
		"usable":    {h.Usable.Value, int64(30) << 30},
		"huge":      {h.HugePagesFree.Value, int64(32) << 20},
		"memlock":   {h.Memlock.Value, int64(65536)},
		"wsl":       {h.WSL.Value, "2"},
		"container": {h.Container.Value, "kubepods"},
		"nodes":     {len(h.Nodes.Value), 2},
		"node":      {h.Nodes.Value[0], Node{ID: 0, CPUs: "0-15", Total: known("sysfs", int64(65808<<10)), Free: known("sysfs", int64(1024<<10))}},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
}

// Whatever files hold, reading them ends, and says nothing that cannot be.
func FuzzFiles(f *testing.F) {
	f.Add("0::/a/b", "1 2 0:26 / /sys/fs/cgroup rw - cgroup2 x rw", "8192", "1002  AMD\n\t744c  Navi [X]")
	f.Add("4:memory,cpu:/x", "1 2 0:26 /x / rw - cgroup x rw,memory,cpu", "max 100000", "1586, D1, AMD Radeon 8060S")
	f.Add("0::"+strings.Repeat("/..", 50), "1 2 0:26 / / rw - cgroup2 x rw", "9223372036854775807", "HugePages_Free: 9223372036854775807\nHugepagesize: 9223372036854775807 kB")
	f.Add("", "", "gfx_target_version 110501\ndrm_render_minor 128", "Node 0 MemTotal: 9223372036854775807 kB")
	f.Fuzz(func(t *testing.T, own, mounts, value, list string) {
		files := fstest.MapFS{}
		for _, path := range []string{
			"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat", "sys/fs/cgroup/cpu.max", "memory.max",
			"sys/fs/cgroup/memory.limit_in_bytes", "sys/fs/cgroup/cpu.cfs_quota_us", "sys/fs/cgroup/cpu.cfs_period_us",
			"sys/class/kfd/kfd/topology/nodes/0/properties", "sys/class/drm/card0/device/mem_info_vram_total", "sys/class/drm/card0/device/mem_info_vram_used",
			"sys/class/drm/card0/device/mem_info_gtt_total", "sys/class/drm/card0/device/mem_info_gtt_used", "sys/class/drm/card0/device/uevent",
			"sys/class/drm/card0/device/hwmon/hwmon0/temp1_input", "sys/class/drm/card0/device/hwmon/hwmon0/energy1_input", "sys/class/drm/card0/device/current_link_speed",
			"sys/class/drm/card0/device/tile0/physical_vram_size_bytes", "sys/class/drm/card0/device/device", "sys/class/drm/card0/device/revision",
		} {
			files[path] = &fstest.MapFile{Data: []byte(value)}
		}
		for _, path := range []string{"usr/share/misc/pci.ids", "usr/share/libdrm/amdgpu.ids", "proc/meminfo", "proc/self/limits", "sys/devices/system/node/node0/meminfo", "proc/version", "proc/driver/nvidia/version"} {
			files[path] = &fstest.MapFile{Data: []byte(list)}
		}
		files["proc/self/cgroup"], files["proc/self/mountinfo"] = &fstest.MapFile{Data: []byte(own)}, &fstest.MapFile{Data: []byte(mounts)}
		vendor := &fstest.MapFile{Data: []byte("0x1002")}
		files["sys/class/drm/card0/device/vendor"] = vendor
		sys := machine(files)
		limit, room := cgroupMemory(sys)
		sizes := []Field[int64]{limit, room, hugePages(sys), memlock(sys)}
		for _, n := range numaNodes(sys).Value {
			sizes = append(sizes, n.Total, n.Free)
		}
		if q := cpuQuota(sys); q.Known() && q.Value <= 0 {
			t.Errorf("quota %+v", q)
		}
		amd := amdgpuSource().Read(context.Background(), sys)
		vendor.Data = []byte("0x8086")
		intel := intelSource().Read(context.Background(), sys)
		inv := &Inventory{Devices: append(amd.Devices, intel.Devices...)}
		settle(inv)
		for _, d := range inv.Devices {
			sizes = append(sizes, d.Total, d.Used, d.Free)
		}
		for _, f := range sizes {
			if f.Known() && (f.Value < 0 || f.Value > mostBytes) {
				t.Errorf("%+v", f)
			}
		}
	})
}
