package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// amdgpuSource reads what the amdgpu driver and the compute driver KFD tell in
// /sys: it is there wherever the driver is, and needs no tool.
func amdgpuSource() Source {
	return Source{Name: "amdgpu", OS: []string{"linux"}, Read: func(_ context.Context, sys *System) Reading {
		compute := kfdNodes(sys)
		r := Reading{State: OK}
		for _, name := range sys.dir("sys/class/drm") {
			n, ok := numbered(name, "card") // card0-DP-1 is a connector
			if !ok || sys.text("sys/class/drm/"+name+"/device/vendor") != "0x1002" {
				continue
			}
			r.Devices = append(r.Devices, amdgpuDevice(sys, name, n, compute))
		}
		if r.Devices == nil {
			return absent("the amdgpu driver has no card", "")
		}
		drmProcesses(sys, r.Devices)
		r.Hint, r.Reason = amdAccess(sys)
		return r
	}}
}

// amdgpuDevice reads one card.
func amdgpuDevice(sys *System, name string, index int64, compute map[int64]kfdNode) Device {
	const source = "amdgpu"
	dir := "sys/class/drm/" + name + "/device"
	d := Device{Vendor: "amd", Kind: Dedicated, Index: -1, PCI: uevent(sys.text(dir+"/uevent"), "PCI_SLOT_NAME")}
	if d.ID = d.PCI; d.ID == "" {
		d.ID = fmt.Sprintf("amd:%d", index)
	}
	if d.PCI != "" && asleep(sys, d.PCI) {
		d.Excluded = isAsleep
		d.Total = missing[int64](source, Absent, isAsleep)
		return d
	}
	node, computes := compute[renderMinor(sys, dir)]
	if computes {
		d.Capability = known("kfd", node.gfx())
		d.Index = node.index
	} else {
		d.Capability = missing[string]("kfd", Absent, "the compute driver does not list the card")
	}
	d.Name = amdName(sys, dir)
	d.Driver = known(source, "amdgpu")
	if v := sys.text("sys/module/amdgpu/version"); v != "" {
		d.Driver = known(source, "amdgpu "+oneLine(v))
	}
	d.amdMemory(sys, dir)
	d.Utilization = fileField(sys, source, dir+"/gpu_busy_percent", percent)
	d.MemoryBusy = fileField(sys, source, dir+"/mem_busy_percent", percent)
	d.NUMANode = fileField(sys, source, dir+"/numa_node", integer)
	d.link(sys, dir)
	d.hwmon(sys, source, dir)
	return d
}

func percent(s string) (float64, bool) {
	v, ok := integer(s)
	return float64(v), ok && v <= 100
}

// amdMemory reads memory of the card's own (VRAM), and for a processor with
// graphics the part of the system's memory that it may map (GTT): there the
// first is what the firmware carves out, often next to nothing, and both
// together are what a model can have. A card's GTT is not memory for models.
func (d *Device) amdMemory(sys *System, dir string) {
	const source = "amdgpu"
	file := func(name string) Field[int64] { return fileField(sys, source, dir+"/mem_info_"+name, size) }
	d.Total, d.Used = file("vram_total"), file("vram_used")
	gtt, gttUsed := file("gtt_total"), file("gtt_used")
	if integratedAMD(d, gtt) {
		d.mapped(source, gtt, gttUsed)
	}
}

// mapped makes the device a processor's graphics, whose Total and Used are so
// far those of the part that the firmware sets aside, and adds the part of the
// system's memory that the driver may map.
func (d *Device) mapped(source string, gtt, used Field[int64]) {
	d.Kind = Unified
	if !d.Total.Known() {
		return
	}
	d.apart, d.apartUsed = d.Total.Value, d.Used.Or(0)
	switch {
	case !gtt.Known():
		d.Total.Reason = "what the firmware sets aside: " + source + " does not say what else can be mapped"
		return
	case d.Total.Value > mostBytes-gtt.Value:
		d.Total = missing[int64](source, Unsupported, "the driver reports more than there can be")
		return
	}
	d.Total.Value += gtt.Value
	d.Total.Reason = fmt.Sprintf("%d bytes set aside by the firmware and %d that the driver may map", d.apart, gtt.Value)
	d.Free = Field[int64]{} // of one part only, if any
	if d.Used.Known() && used.Known() {
		d.Used.Value = min(d.Used.Value+used.Value, d.Total.Value)
	} else {
		d.Used = missing[int64](source, Unsupported, "how much of both parts is used is not reported")
	}
}

// integratedAMD reports whether the graphics are a processor's: its name or
// its architecture is one of theirs, else its memory is as small as a firmware
// carves out and far smaller than what can be mapped.
func integratedAMD(d *Device, gtt Field[int64]) bool {
	if integratedName(d.Name.Or("")) {
		return true
	}
	if d.Capability.Known() {
		switch d.Capability.Value {
		case "gfx902", "gfx909", "gfx90c", "gfx1033", "gfx1035", "gfx1036", "gfx1037", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153":
			return true
		}
	}
	return d.Total.Known() && gtt.Known() && d.Total.Value <= 4<<30 && gtt.Value > 2*d.Total.Value
}

// integratedName reports whether a name is of a processor's graphics.
func integratedName(name string) bool {
	name = strings.ToLower(name)
	for _, chip := range [...]string{
		"610m", "660m", "680m", "740m", "760m", "780m", "840m", "860m", "880m", "890m", "8040s", "8050s", "8060s", "raven", "picasso", "renoir", "lucienne", "cezanne",
		"barcelo", "rembrandt", "mendocino", "raphael", "phoenix", "hawk point", "granite ridge", "strix", "krackan", "van gogh", "vangogh", "ryzen",
	} {
		if strings.Contains(name, chip) {
			return true
		}
	}
	return false
}

// hwmon reads the sensors of a card: temperatures in thousandths of a degree,
// power in millionths of a watt. Which of two files has the power depends on
// the chip.
func (d *Device) hwmon(sys *System, source, dir string) {
	milli := func(s string) (float64, bool) { v, ok := decimal(s); return v / 1e3, ok && v < 1e6 }
	micro := func(s string) (float64, bool) { v, ok := decimal(s); return v / 1e6, ok && v >= 0 }
	at := ""
	for _, name := range sys.dir(dir + "/hwmon") {
		if _, ok := numbered(name, "hwmon"); ok {
			at = dir + "/hwmon/" + name
		}
	}
	if at == "" {
		d.Temperature = missing[float64](source, Unsupported, "the driver has no sensors for it")
		d.Power = missing[float64](source, Unsupported, "the driver has no sensors for it")
		return
	}
	d.Temperature = fileField(sys, source, at+"/temp1_input", milli)
	for i := 1; i <= 4; i++ {
		if sys.text(fmt.Sprintf("%s/temp%d_label", at, i)) == "mem" {
			d.MemoryTemperature = fileField(sys, source, fmt.Sprintf("%s/temp%d_input", at, i), milli)
		}
	}
	d.Power = fileField(sys, source, at+"/power1_average", micro)
	if !d.Power.Known() {
		if other := fileField(sys, source, at+"/power1_input", micro); other.Known() {
			d.Power = other
		}
	}
	d.PowerLimit = fileField(sys, source, at+"/power1_cap", micro)
	if sys.exists(at + "/energy1_input") {
		d.Energy = fileField(sys, source, at+"/energy1_input", micro)
	}
}

// uevent reads a value of a device's uevent file.
func uevent(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return oneLine(v)
		}
	}
	return ""
}

// renderMinor is the number of the card's render node, -1 when it has none.
func renderMinor(sys *System, dir string) int64 {
	for _, name := range sys.dir(dir + "/drm") {
		if n, ok := numbered(name, "renderD"); ok {
			return n
		}
	}
	return -1
}

// kfdNode is a device that the compute driver lists.
type kfdNode struct {
	target int64 // 110501 is gfx1151
	index  int   // among those that compute
}

// gfx is the node's architecture as compilers name it: the last two digits
// are hexadecimal.
func (n kfdNode) gfx() string {
	return fmt.Sprintf("gfx%d%x%x", n.target/10000, n.target/100%100, n.target%100)
}

// kfdNodes lists the compute driver's devices by the number of their render
// node. Processors are nodes without a target.
func kfdNodes(sys *System) map[int64]kfdNode {
	const at = "sys/class/kfd/kfd/topology/nodes"
	out := map[int64]kfdNode{}
	names := sys.dir(at)
	for id := range int64(len(names)) { // in the order of their numbers
		var node kfdNode
		minor := int64(-1)
		lines := bufio.NewScanner(strings.NewReader(sys.text(fmt.Sprintf("%s/%d/properties", at, id))))
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), " ")
			v, ok := integer(value)
			switch {
			case !ok:
			case key == "gfx_target_version":
				node.target = v
			case key == "drm_render_minor":
				minor = v
			}
		}
		if node.target > 0 && node.target < 1e6 && minor > 0 {
			node.index = len(out)
			out[minor] = node
		}
	}
	return out
}

// amdName finds the name a card is sold under: server cards tell it, for
// others it is in the list that libdrm installs, or in that of PCI devices.
func amdName(sys *System, dir string) Field[string] {
	if v := sys.text(dir + "/product_name"); v != "" {
		return known("amdgpu", oneLine(v))
	}
	device, revision := hex(sys.text(dir+"/device")), hex(sys.text(dir+"/revision"))
	for _, line := range strings.Split(sys.text("usr/share/libdrm/amdgpu.ids"), "\n") {
		f := strings.SplitN(line, ",", 3) // 744C, C8, AMD Radeon RX 7900 XTX
		if len(f) == 3 && hex(f[0]) == device && hex(f[1]) == revision && device != "" {
			return known("amdgpu.ids", oneLine(f[2]))
		}
	}
	if v := pciName(sys, "1002", device); v != "" {
		return known("pci.ids", v)
	}
	return missing[string]("amdgpu", Unsupported, "neither the card nor a list of names on this system names it")
}

// hex normalizes a hexadecimal number: "0x744c" and " 744C" are "744c".
func hex(s string) string {
	return strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "0x")
}

// amdAccess says when the devices that runtimes compute through are not open
// to this user: then the card is seen and cannot be used.
func amdAccess(sys *System) (hint, reason string) {
	f, err := sys.Files.Open("dev/kfd")
	switch {
	case err == nil:
		f.Close()
	case errors.Is(err, fs.ErrPermission):
		return "add this user to the groups render and video, and log in again", "/dev/kfd is not open to this user: ROCm cannot use the cards"
	case errors.Is(err, fs.ErrNotExist):
		if inside := container(sys); inside.Known() && inside.Value != "none" {
			return "start the container with --device /dev/kfd --device /dev/dri", "/dev/kfd is not in this container: ROCm cannot use the cards"
		}
		return "", "/dev/kfd is not there: ROCm cannot use the cards, Vulkan can"
	}
	return "", ""
}
