package probe

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// intelSource reads what the drivers i915 and xe tell in /sys.
func intelSource() Source {
	counters := &energyCounters{last: map[string]energyRead{}}
	return Source{Name: "intel", OS: []string{"linux"}, Read: func(_ context.Context, sys *System) Reading {
		r := Reading{State: OK}
		for _, name := range sys.dir("sys/class/drm") {
			n, ok := numbered(name, "card")
			if !ok || sys.text("sys/class/drm/"+name+"/device/vendor") != "0x8086" {
				continue
			}
			d := intelDevice(sys, name, n)
			counters.power(&d)
			r.Devices = append(r.Devices, d)
		}
		if r.Devices == nil {
			return absent("neither i915 nor xe has a card", "")
		}
		drmProcesses(sys, r.Devices)
		return r
	}}
}

func intelDevice(sys *System, name string, index int64) Device {
	const source = "intel"
	card := "sys/class/drm/" + name
	dir := card + "/device"
	d := Device{Vendor: "intel", Kind: Dedicated, Index: -1, PCI: uevent(sys.text(dir+"/uevent"), "PCI_SLOT_NAME")}
	if d.ID = d.PCI; d.ID == "" {
		d.ID = fmt.Sprintf("intel:%d", index)
	}
	if d.PCI != "" && asleep(sys, d.PCI) {
		d.Excluded = isAsleep
		d.Total = missing[int64](source, Absent, isAsleep)
		return d
	}
	if v := pciName(sys, "8086", hex(sys.text(dir+"/device"))); v != "" {
		d.Name = known("pci.ids", v)
	}
	if driver := uevent(sys.text(dir+"/uevent"), "DRIVER"); driver != "" {
		d.Driver = known(source, driver)
	}
	d.intelMemory(sys, card, dir)
	if strings.HasSuffix(d.PCI, ":00:02.0") && !d.Total.Known() { // where a processor has its graphics
		d.Kind = Shared
		d.Total = missing[int64](source, Unsupported, "graphics of the processor: they have no memory of their own")
	}
	d.NUMANode = fileField(sys, source, dir+"/numa_node", integer)
	d.link(sys, dir)
	d.hwmon(sys, source, dir)
	return d
}

// intelMemory reads local memory by the names that the drivers have had for
// it.
func (d *Device) intelMemory(sys *System, card, dir string) {
	const source = "intel"
	d.Total = missing[int64](source, Unsupported, "the driver does not tell local memory in sysfs; xpu-smi may")
	for _, f := range [...]struct{ total, used, free string }{
		{card + "/lmem_total_bytes", "", card + "/lmem_avail_bytes"}, // i915
		{dir + "/tile0/vram0/total_bytes", dir + "/tile0/vram0/used_bytes", ""},
	} {
		total := fileField(sys, source, f.total, size)
		if !total.Known() || total.Value == 0 {
			continue
		}
		d.Total = total
		if f.used != "" {
			d.Used = fileField(sys, source, f.used, size)
		}
		if f.free != "" {
			d.Free = fileField(sys, source, f.free, size)
		}
		return
	}
	sum, tiles := int64(0), 0
	for i := range 8 { // xe
		v := fileField(sys, source, fmt.Sprintf("%s/tile%d/physical_vram_size_bytes", dir, i), size)
		if v.Known() && v.Value > 0 && v.Value < 1<<50 {
			sum += v.Value
			tiles++
		}
	}
	if tiles > 0 {
		d.Total = known(source, sum)
		d.Free = missing[int64](source, Unsupported, "the driver does not tell what is used; xpu-smi may")
	}
}

// energyCounters turn energy counters into power: what was used since the
// read before, by time.
type energyCounters struct {
	mu   sync.Mutex
	last map[string]energyRead
}

type energyRead struct {
	joules float64
	at     time.Time
}

func (c *energyCounters) power(d *Device) {
	if !d.Energy.Known() || d.Power.Known() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := energyRead{d.Energy.Value, time.Now()}
	before, ok := c.last[d.ID]
	c.last[d.ID] = now
	if took := now.at.Sub(before.at).Seconds(); ok && took > 0 && now.joules >= before.joules {
		d.Power = known("intel", (now.joules-before.joules)/took)
		return
	}
	d.Power = missing[float64]("intel", Unsupported, "known from the second sample on: the driver counts energy")
}
