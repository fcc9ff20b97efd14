package probe

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// group is one control group and where its files are.
type group struct {
	version int
	// dir is the group's directory and top the last one above it that belongs
	// to the hierarchy, both without a slash in front.
	dir, top string
}

// groups finds this process's control groups that a controller acts in: of
// version 2, and of version 1 when the controller is attached there. On a
// hybrid system there may be both, and the version 2 tree lack the files.
func groups(sys *System, controller string) []group {
	own := map[string]string{} // controller, "" for version 2: path
	for _, line := range strings.Split(sys.text("proc/self/cgroup"), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, c := range strings.Split(f[1], ",") {
			own[c] = f[2]
		}
	}
	var out []group
	for _, line := range strings.Split(sys.text("proc/self/mountinfo"), "\n") {
		root, at, fstype, options, ok := mount(line)
		if !ok {
			continue
		}
		var mine string
		var there bool
		version := 0
		switch {
		case fstype == "cgroup2":
			version = 2
			mine, there = own[""]
		case fstype == "cgroup" && contains(options, controller):
			version = 1
			mine, there = own[controller]
		}
		if !there || len(out) == mostGroups {
			continue
		}
		top := strings.TrimPrefix(at, "/")
		out = append(out, group{version: version, dir: within(sys, top, root, mine), top: top})
	}
	return out
}

// mount reads one line of mountinfo: the directory of the file system that is
// mounted, where, its type and its own options.
func mount(line string) (root, at, fstype string, options []string, ok bool) {
	left, right, ok := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !ok || len(l) < 6 || len(r) < 3 {
		return "", "", "", nil, false
	}
	return unescape(l[3]), unescape(l[4]), r[0], strings.Split(r[2], ","), true
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// within returns the directory of the group own, seen through a mount of root
// at top. In a container the path names the host's tree while the mount shows
// the container's part of it; then the mount's top is the nearest there is.
func within(sys *System, top, root, own string) string {
	rel := own
	if root != "/" {
		rest, ok := strings.CutPrefix(own, root)
		if !ok || rest != "" && rest[0] != '/' {
			return top
		}
		rel = rest
	}
	dir := path.Join(top, path.Clean("/"+rel))
	if !sys.exists(dir) {
		return top
	}
	return dir
}

// mostDepth bounds how deep control groups are nested, and mostGroups how many
// mounts show them.
const (
	mostDepth  = 256
	mostGroups = 64
)

// up lists the group and all above it.
func (g group) up() []string {
	var out []string
	for dir := g.dir; ; dir = path.Dir(dir) {
		out = append(out, dir)
		if len(dir) <= len(g.top) || dir == path.Dir(dir) || len(out) == mostDepth {
			return out
		}
	}
}

// cgroupMemory returns the least limit of this process's control groups, and
// the least room that any of them has left. Page cache that the kernel would
// give up counts as room.
func cgroupMemory(sys *System) (limit, room Field[int64]) {
	const none = "no control group limits memory"
	limit, room = missing[int64]("cgroup", Absent, none), missing[int64]("cgroup", Absent, none)
	for _, g := range groups(sys, "memory") {
		source := fmt.Sprintf("cgroup v%d", g.version)
		for _, dir := range g.up() {
			most, left, ok := g.memory(sys, dir)
			if !ok {
				continue
			}
			if !limit.Known() || most < limit.Value {
				limit = known(source, most)
			}
			if !room.Known() || left < room.Value {
				room = known(source, left)
			}
		}
	}
	return limit, room
}

// memory returns the limit of the group in dir and what is left of it; false
// when it has none, or does not say.
func (g group) memory(sys *System, dir string) (most, left int64, ok bool) {
	limits, usage := []string{"memory.max", "memory.high"}, "memory.current"
	reclaimable := []string{"inactive_file", "slab_reclaimable"}
	if g.version == 1 {
		limits, usage = []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes"
		reclaimable = []string{"total_inactive_file"}
	}
	for _, name := range limits {
		v, isNumber := integer(sys.text(dir + "/" + name))
		if isNumber && v < mostBytes && (!ok || v < most) { // version 1 writes 2^63 less a page for none
			most, ok = v, true
		}
	}
	used, counted := size(sys.text(dir + "/" + usage))
	if !ok {
		return 0, 0, false
	}
	if !counted {
		return most, most, true
	}
	for _, line := range strings.Split(sys.text(dir+"/memory.stat"), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 && contains(reclaimable, f[0]) {
			if v, ok := size(f[1]); ok {
				used -= min(v, used)
			}
		}
	}
	return most, max(0, most-used), true
}

// cpuQuota returns how many processors the control groups of this process let
// it keep busy.
func cpuQuota(sys *System) Field[float64] {
	quota := missing[float64]("cgroup", Absent, "no control group limits processor time")
	if sys.OS != "linux" {
		return missing[float64]("cgroup", Unsupported, "control groups are Linux's")
	}
	for _, g := range groups(sys, "cpu") {
		for _, dir := range g.up() {
			var f []string
			if g.version == 2 {
				f = strings.Fields(sys.text(dir + "/cpu.max"))
			} else {
				f = []string{sys.text(dir + "/cpu.cfs_quota_us"), sys.text(dir + "/cpu.cfs_period_us")}
			}
			if len(f) != 2 {
				continue
			}
			time, err := strconv.ParseFloat(f[0], 64) // "max" and -1: none
			period, ok := integer(f[1])
			if err != nil || !ok || time <= 0 || period == 0 {
				continue
			}
			if v := time / float64(period); !quota.Known() || v < quota.Value {
				quota = known(fmt.Sprintf("cgroup v%d", g.version), v)
			}
		}
	}
	return quota
}
