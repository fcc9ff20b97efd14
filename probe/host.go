package probe

import (
	"bytes"
	"context"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// Host is the machine around the devices. Memory is in bytes.
type Host struct {
	OS, Arch string
	Kernel   Field[string]
	CPU      Field[string]
	// Cores are physical, Threads what runs at once, Quota how many of them
	// this process may keep busy.
	Cores, Threads Field[int64]
	Quota          Field[float64]
	// Total is what the system has; Available what it could give to a new
	// process; Limit what the control groups of this process allow; Usable
	// the least of all of them: what this process can have.
	Total, Available, Limit, Usable Field[int64]
	SwapTotal, SwapFree             Field[int64]
	HugePagesFree                   Field[int64]
	Memlock                         Field[int64] // most memory that may be locked
	Container, WSL                  Field[string]
	Nodes                           Field[[]Node]
	Disks                           []Disk
}

// Node is one NUMA node.
type Node struct {
	ID          int64
	CPUs        string // "0-15,32-47"
	Total, Free Field[int64]
}

func (h *Host) slots() []named {
	return []named{
		{"kernel", &h.Kernel}, {"cpu", &h.CPU}, {"cores", &h.Cores}, {"threads", &h.Threads}, {"cpu_quota", &h.Quota},
		{"total_bytes", &h.Total}, {"available_bytes", &h.Available}, {"limit_bytes", &h.Limit}, {"usable_bytes", &h.Usable},
		{"swap_total_bytes", &h.SwapTotal}, {"swap_free_bytes", &h.SwapFree}, {"huge_pages_free_bytes", &h.HugePagesFree}, {"memlock_bytes", &h.Memlock},
		{"container", &h.Container}, {"wsl", &h.WSL}, {"numa_nodes", &h.Nodes},
	}
}

// Notes says of every field how it is known.
func (h *Host) Notes() map[string]Note { return notes(h.slots()) }

// hostSource reads the processor and memory of the system.
func hostSource() Source {
	return Source{Name: "host", Read: func(ctx context.Context, sys *System) Reading {
		h := &Host{OS: sys.OS, Arch: sys.Arch}
		h.memory(ctx, sys)
		h.processor(ctx, sys)
		h.surroundings(sys)
		h.Nodes = numaNodes(sys)
		h.HugePagesFree = hugePages(sys)
		h.Memlock = memlock(sys)
		return Reading{State: OK, Host: h}
	}}
}

// inRoot makes gopsutil read below the system's root.
func inRoot(ctx context.Context, sys *System) context.Context {
	if sys.Root == "/" {
		return ctx
	}
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: filepath.Join(sys.Root, "proc"), common.HostSysEnvKey: filepath.Join(sys.Root, "sys"),
	})
}

func (h *Host) memory(ctx context.Context, sys *System) {
	const source = "gopsutil"
	ctx = inRoot(ctx, sys)
	if m, err := mem.VirtualMemoryWithContext(ctx); err != nil || m.Total == 0 || m.Total > mostBytes {
		h.Total = missing[int64](source, Unsupported, "the system does not say how much memory it has")
		h.Available = missing[int64](source, Unsupported, "the system does not say how much memory is available")
	} else {
		h.Total, h.Available = known(source, int64(m.Total)), known(source, int64(min(m.Available, m.Total)))
	}
	if s, err := mem.SwapMemoryWithContext(ctx); err == nil && s.Total <= mostBytes {
		h.SwapTotal, h.SwapFree = known(source, int64(s.Total)), known(source, int64(min(s.Free, s.Total)))
	} else {
		h.SwapTotal = missing[int64](source, Unsupported, "the system does not say how much swap it has")
	}
	h.Usable = h.Available
	if sys.OS != "linux" {
		return
	}
	limit, room := cgroupMemory(sys)
	h.Limit = limit
	if room.Known() && h.Usable.Known() && room.Value < h.Usable.Value {
		h.Usable = room
	}
}

func (h *Host) processor(ctx context.Context, sys *System) {
	const source = "gopsutil"
	ctx = inRoot(ctx, sys)
	if info, err := cpu.InfoWithContext(ctx); err == nil && len(info) > 0 && info[0].ModelName != "" {
		h.CPU = known(source, oneLine(info[0].ModelName))
	} else {
		h.CPU = missing[string](source, Unsupported, "the system does not name its processor")
	}
	if n, err := cpu.CountsWithContext(ctx, false); err == nil && n > 0 {
		h.Cores = known(source, int64(n))
	} else {
		h.Cores = missing[int64](source, Unsupported, "the system does not say how many cores it has")
	}
	h.Threads = known("runtime", int64(runtime.NumCPU()))
	h.Quota = cpuQuota(sys)
}

func (h *Host) surroundings(sys *System) {
	if v, err := host.KernelVersion(); err == nil && v != "" {
		h.Kernel = known("uname", oneLine(v))
	} else {
		h.Kernel = missing[string]("uname", Unsupported, "the system does not name its version")
	}
	if sys.OS != "linux" {
		return
	}
	h.WSL = wsl(sys)
	h.Container = container(sys)
}

// wsl tells Windows' subsystem for Linux by its kernel's name.
func wsl(sys *System) Field[string] {
	const source = "/proc/version"
	v := strings.ToLower(sys.text("proc/version"))
	switch {
	case v == "":
		return missing[string](source, Absent, "the kernel does not name itself")
	case strings.Contains(v, "microsoft-standard"), strings.Contains(v, "wsl2"):
		return known(source, "2")
	case strings.Contains(v, "microsoft"):
		return known(source, "1")
	}
	return known(source, "no")
}

// container names what this process is contained in, by the marks that
// container engines leave.
func container(sys *System) Field[string] {
	if v := sys.Getenv("container"); v != "" {
		return known("$container", oneLine(v))
	}
	for _, mark := range [...]struct{ path, name string }{
		{".dockerenv", "docker"}, {"run/.containerenv", "podman"},
		{"var/run/secrets/kubernetes.io", "kubernetes"}, {".singularity.d", "apptainer"},
	} {
		if sys.exists(mark.path) {
			return known("/"+mark.path, mark.name)
		}
	}
	b, err := sys.read("proc/1/cgroup")
	if err != nil {
		return missing[string]("/proc/1/cgroup", Absent, "no mark of a container, and the first process's groups cannot be read")
	}
	for _, name := range [...]string{"docker", "kubepods", "libpod", "lxc", "containerd"} {
		if bytes.Contains(b, []byte(name)) {
			return known("/proc/1/cgroup", name)
		}
	}
	return known("/proc/1/cgroup", "none")
}

// numaNodes lists the nodes with their processors and memory.
func numaNodes(sys *System) Field[[]Node] {
	const source = "sysfs"
	const at = "sys/devices/system/node"
	if sys.OS != "linux" {
		return missing[[]Node](source, Unsupported, "nodes are listed on Linux only")
	}
	var nodes []Node
	for _, name := range sys.dir(at) {
		id, ok := numbered(name, "node")
		if !ok {
			continue
		}
		none := missing[int64](source, Unsupported, "the node does not tell its memory")
		n := Node{ID: id, CPUs: oneLine(sys.text(at + "/" + name + "/cpulist")), Total: none, Free: none}
		for _, line := range strings.Split(sys.text(at+"/"+name+"/meminfo"), "\n") {
			f := strings.Fields(line) // Node 0 MemTotal: 65808 kB
			if len(f) < 5 {
				continue
			}
			v, ok := size(f[3])
			switch {
			case !ok || v > mostBytes>>10:
			case f[2] == "MemTotal:":
				n.Total = known(source, v<<10)
			case f[2] == "MemFree:":
				n.Free = known(source, v<<10)
			}
		}
		nodes = append(nodes, n)
	}
	if nodes == nil {
		return missing[[]Node](source, Unsupported, "the kernel lists no nodes")
	}
	return known(source, nodes)
}

// numbered reads the number in names such as node3 and card0.
func numbered(name, prefix string) (int64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	return integer(rest)
}

// hugePages returns memory set aside for huge pages and not used: the system
// does not count it as available.
func hugePages(sys *System) Field[int64] {
	const source = "/proc/meminfo"
	if sys.OS != "linux" {
		return missing[int64](source, Unsupported, "set aside on Linux only")
	}
	var free, each int64
	var haveFree, haveSize bool
	for _, line := range strings.Split(sys.text("proc/meminfo"), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "HugePages_Free:":
			free, haveFree = size(f[1])
		case "Hugepagesize:":
			each, haveSize = size(f[1])
		}
	}
	if !haveFree || !haveSize || free > mostBytes>>24 || each > 1<<24 {
		return missing[int64](source, Unsupported, "the kernel does not count huge pages")
	}
	return known(source, free*(each<<10))
}

// memlock returns how much memory this process may lock (mlock).
func memlock(sys *System) Field[int64] {
	const source = "/proc/self/limits"
	for _, line := range strings.Split(sys.text("proc/self/limits"), "\n") {
		rest, ok := strings.CutPrefix(line, "Max locked memory")
		if f := strings.Fields(rest); ok && len(f) > 0 {
			if v, ok := size(f[0]); ok {
				return known(source, v)
			}
			return missing[int64](source, Absent, "no limit: "+oneLine(f[0]))
		}
	}
	return missing[int64](source, Unsupported, "the system does not list limits there")
}
