package probe

import (
	"context"
	"strconv"
)

// accelSource lists what has a driver of the kernel's subsystem for compute
// accelerators: neural processors of Intel and AMD, Gaudi and others. Models
// of this program's kind run on few of them, and none tells its memory there.
func accelSource() Source {
	return Source{Name: "accel", OS: []string{"linux"}, Read: func(_ context.Context, sys *System) Reading {
		var r Reading
		for _, name := range sys.dir("sys/class/accel") {
			n, ok := numbered(name, "accel")
			if !ok {
				continue
			}
			dir := "sys/class/accel/" + name + "/device"
			event := sys.text(dir + "/uevent")
			d := Device{ID: uevent(event, "PCI_SLOT_NAME"), PCI: uevent(event, "PCI_SLOT_NAME"), Index: -1, Kind: Unknown}
			if d.ID == "" {
				d.ID = name
			}
			vendor := sys.text(dir + "/vendor")
			if d.Vendor = pciVendors[vendor]; d.Vendor == "" {
				d.Vendor = oneLine(vendor)
			}
			if v := pciName(sys, vendor, sys.text(dir+"/device")); v != "" {
				d.Name = known("pci.ids", v)
			} else {
				d.Name = known("accel", oneLine(uevent(event, "DRIVER")+" accelerator "+strconv.FormatInt(n, 10)))
			}
			d.Driver = word("accel", uevent(event, "DRIVER"))
			d.Total = missing[int64]("accel", Unsupported, "the driver does not tell its memory")
			r.Devices = append(r.Devices, d)
		}
		if r.Devices == nil {
			return absent("the kernel has no accelerator devices", "")
		}
		r.State = OK
		return r
	}}
}
