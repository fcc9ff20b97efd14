package probe

import (
	"context"
	"fmt"
	"math"
	"strings"
)

// View is what an engine that is installed here sees itself: the last word on
// what it will use.
type View struct {
	Engine  string
	State   State
	Reason  string
	Devices []Seen
}

// Seen is a device as an engine sees it, in bytes.
type Seen struct {
	Name        string // of its backend and the device: "CUDA0: NVIDIA GeForce RTX 4090"
	Total, Free int64
}

// LlamaServer asks a llama-server for its devices; name is the program, looked
// up in PATH.
func LlamaServer(ctx context.Context, sys *System, name string) View {
	v := View{Engine: "llama.cpp"}
	out, err := sys.Run(ctx, Command{Name: name, Args: []string{"--list-devices"}})
	if err != nil {
		r := failed(err, name, "")
		v.State, v.Reason = r.State, r.Reason
		return v
	}
	var ok bool
	if v.Devices, ok = parseListDevices(out); !ok {
		v.State, v.Reason = Unsupported, name+" --list-devices printed no list"
		return v
	}
	v.State = OK
	return v
}

var listedDevice = pattern(`^\s+(\S{1,40}: .{1,200}) \((\d{1,12}) MiB, (\d{1,12}) MiB free\)\s*$`)

// parseListDevices reads llama.cpp's list, which other messages stand around.
func parseListDevices(out []byte) ([]Seen, bool) {
	_, list, ok := strings.Cut(string(out), "Available devices:")
	var devices []Seen
	for _, line := range strings.Split(list, "\n") {
		m := listedDevice().FindStringSubmatch(line)
		if m == nil || len(devices) == 256 {
			continue
		}
		total, _ := integer(m[2])
		free, _ := integer(m[3])
		devices = append(devices, Seen{Name: oneLine(m[1]), Total: total << 20, Free: free << 20})
	}
	return devices, ok
}

// Against says where an engine's view differs from an inventory: devices that
// it does not use, or sizes that are far from each other.
func (v *View) Against(inv *Inventory) []string {
	var out []string
	if v.State != OK {
		return out
	}
	planned := 0
	for i := range inv.Devices {
		d := &inv.Devices[i]
		if d.Excluded != "" || !d.Total.Known() {
			continue
		}
		planned++
		near := false
		for _, s := range v.Devices {
			total := float64(d.Limit.Or(d.Total.Value))
			near = near || math.Abs(float64(s.Total)-total) < 0.06*total
		}
		if !near && len(v.Devices) > 0 {
			out = append(out, fmt.Sprintf("it sees no device with the %d bytes of %s", d.Total.Value, d.Name.Or(d.ID)))
		}
	}
	switch {
	case len(v.Devices) == 0 && planned > 0:
		out = append(out, "it uses no device: it was built without a backend for them, or their runtime is not installed")
	case len(v.Devices) != planned:
		out = append(out, fmt.Sprintf("it uses %d devices, and plans are made for %d", len(v.Devices), planned))
	}
	return out
}
