package probe

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// drmClient is what one open file of a graphics driver says of its user's
// memory in /proc/PID/fdinfo, in bytes. The names are those of the kernel's
// drm-usage-stats.
type drmClient struct {
	pci, id     string
	own, system int64 // of the card's memory, and of the system's
}

// parseDRM reads a file of /proc/PID/fdinfo; false when it is of no client of
// a graphics driver that tells its memory. What is in place is "resident";
// drivers that do not tell that apart have "memory".
func parseDRM(text string) (c drmClient, ok bool) {
	resident, memory := map[string]int64{}, map[string]int64{}
	for _, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "drm-pdev":
			c.pci = oneLine(value)
		case "drm-client-id":
			c.id = oneLine(value)
		}
		if region, is := strings.CutPrefix(key, "drm-resident-"); is {
			drmSize(resident, region, value)
		} else if region, is := strings.CutPrefix(key, "drm-memory-"); is {
			drmSize(memory, region, value)
		}
	}
	maps.Copy(memory, resident)
	for region, n := range memory {
		if strings.HasPrefix(region, "vram") || strings.HasPrefix(region, "local") {
			c.own = min(c.own+n, mostBytes)
		} else { // gtt, system, stolen, cpu
			c.system = min(c.system+n, mostBytes)
		}
	}
	return c, c.pci != "" && len(memory) > 0
}

// drmSize reads "1234 KiB"; without a unit it is bytes.
func drmSize(to map[string]int64, region, value string) {
	number, unit, _ := strings.Cut(strings.TrimSpace(value), " ")
	n, ok := size(number)
	if b, isSize := (quantity{Value: float64(n), Unit: unit, OK: ok}).bytes("B"); isSize && len(to) < 64 {
		to[region] = b
	}
}

// Bounds on the walk through all processes.
const (
	mostProcesses = 1 << 16
	mostOpenFiles = 1 << 18
)

// drmProcesses lists who uses the cards of drivers that tell it in
// /proc/PID/fdinfo, which those of AMD and Intel do. Only files that lead to a
// card are read. Of other users' processes nothing is seen, which the list's
// reason says.
func drmProcesses(sys *System, devices []Device) {
	const source = "fdinfo"
	asked := map[string]*Device{}
	for i := range devices {
		if d := &devices[i]; d.PCI != "" && d.Excluded == "" && d.Kind != Shared {
			asked[d.PCI] = d
		}
	}
	if len(asked) == 0 {
		return
	}
	used := map[string]map[int64]int64{}
	seen := map[[2]string]bool{} // a client's file may be open several times, in children too
	hidden, opened := 0, 0
	running := processes(sys)
	for _, pid := range running {
		at := fmt.Sprintf("proc/%d", pid)
		files, err := fs.ReadDir(sys.Files, at+"/fd")
		if errors.Is(err, fs.ErrPermission) {
			hidden++
		}
		for _, f := range files {
			if opened++; opened > mostOpenFiles {
				break
			}
			if to, err := fs.ReadLink(sys.Files, at+"/fd/"+f.Name()); err != nil || !strings.HasPrefix(to, "/dev/dri/") {
				continue
			}
			c, ok := parseDRM(sys.text(at + "/fdinfo/" + f.Name()))
			d, key := asked[c.pci], [2]string{c.pci, c.id}
			if !ok || d == nil || seen[key] {
				continue
			}
			seen[key] = c.id != ""
			if used[c.pci] == nil {
				used[c.pci] = map[int64]int64{}
			}
			n := c.own
			if d.Kind == Unified {
				n += c.system
			}
			used[c.pci][pid] += n
		}
	}
	for pci, d := range asked {
		list := []Process{}
		for pid, n := range used[pci] {
			list = append(list, Process{PID: pid, Used: known(source, min(n, mostBytes))})
		}
		slices.SortFunc(list, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
		d.Processes = known(source, list)
		switch {
		case len(running) == 0:
			d.Processes = missing[[]Process](source, Absent, "/proc lists no process")
		case opened > mostOpenFiles:
			d.Processes.Reason = "not all: too many files are open to look at all"
		case hidden > 0:
			d.Processes.Reason = fmt.Sprintf("not all: %d processes of other users are closed to this one", hidden)
		}
	}
}

// processes lists the processes that are seen here, in order.
func processes(sys *System) []int64 {
	var out []int64
	for _, name := range sys.dir("proc") {
		if pid, ok := integer(name); ok && len(out) < mostProcesses {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}
