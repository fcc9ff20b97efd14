package probe

import (
	"bufio"
	"bytes"
	"context"
	"strings"
)

// pciVendors are the makers that plans tell apart, by PCI number.
var pciVendors = map[string]string{
	"0x10de": "nvidia", "0x1002": "amd", "0x1022": "amd", "0x8086": "intel", "0x106b": "apple", "0x5143": "qualcomm", "0x17cb": "qualcomm",
	"0x19e5": "huawei", "0x1da3": "habana", "0x1d0f": "aws", "0x1ae0": "google", "0x1e52": "tenstorrent", "0x1ed5": "moorethreads",
}

// notGPU are makers of display adapters for consoles and virtual machines,
// which compute nothing.
var notGPU = map[string]bool{
	"0x1a03": true, "0x102b": true, "0x1234": true, "0x15ad": true, "0x80ee": true, "0x1af4": true, "0x1b36": true, "0x1013": true, "0x1414": true, "0x18ca": true,
}

// pciSource lists display controllers and processing accelerators on the PCI
// bus: it needs no driver, and so shows cards that have none.
func pciSource() Source {
	return Source{Name: "pci", OS: []string{"linux"}, Read: func(_ context.Context, sys *System) Reading {
		const at = "sys/bus/pci/devices"
		names := sys.dir(at)
		if names == nil {
			return absent("this system shows no PCI bus", "")
		}
		var r Reading
		for _, address := range names {
			if d, ok := pciDevice(sys, address); ok {
				r.Devices = append(r.Devices, d)
			}
		}
		r.State = OK
		return r
	}}
}

// accelerates reports whether a PCI class is one that models run on: display
// controllers (3) and processing accelerators (0x12).
func accelerates(class string) bool {
	return strings.HasPrefix(class, "0x03") || strings.HasPrefix(class, "0x12")
}

func pciDevice(sys *System, address string) (Device, bool) {
	const source = "pci"
	dir := "sys/bus/pci/devices/" + address
	vendor := sys.text(dir + "/vendor")
	if !accelerates(sys.text(dir+"/class")) || notGPU[vendor] {
		return Device{}, false
	}
	d := Device{ID: address, PCI: address, Index: -1, Vendor: pciVendors[vendor], Kind: Unknown}
	if d.Vendor == "" {
		d.Vendor = oneLine(vendor)
	}
	model := sys.text(dir + "/device")
	if name := pciName(sys, vendor, model); name != "" {
		d.Name = known("pci.ids", name)
	} else {
		d.Name = known(source, oneLine("PCI device "+strings.TrimPrefix(vendor, "0x")+":"+strings.TrimPrefix(model, "0x")))
	}
	d.Total = missing[int64](source, Absent, "the PCI bus does not tell a card's memory")
	d.NUMANode = fileField(sys, source, dir+"/numa_node", integer) // -1 where it is unknown
	if asleep(sys, address) {
		d.Excluded = isAsleep
		return d, true // its link is read from the device itself
	}
	d.link(sys, dir)
	return d, true
}

// link reads the PCIe link from sysfs.
func (d *Device) link(sys *System, dir string) {
	const source = "pci"
	d.LinkGeneration = fileField(sys, source, dir+"/current_link_speed", generation)
	d.MaxLinkGen = fileField(sys, source, dir+"/max_link_speed", generation)
	d.LinkWidth = fileField(sys, source, dir+"/current_link_width", width)
	d.MaxWidth = fileField(sys, source, dir+"/max_link_width", width)
}

// generation reads the PCIe generation that a speed belongs to: "16.0 GT/s
// PCIe" is 4.
func generation(speed string) (int64, bool) {
	v, _ := decimal(speed)
	for i, s := range [...]float64{2.5, 5, 8, 16, 32, 64} {
		if v == s {
			return int64(i + 1), true
		}
	}
	return 0, false
}

func width(s string) (int64, bool) {
	v, ok := integer(s)
	return v, ok && v > 0 && v <= 32
}

// asleep reports whether the device at a PCI address is suspended: reading
// its sensors through a driver would wake it, which on a laptop costs its
// battery.
func asleep(sys *System, address string) bool {
	return sys.text("sys/bus/pci/devices/"+address+"/power/runtime_status") == "suspended"
}

// pciName looks a device up in the system's list of PCI names.
func pciName(sys *System, vendor, model string) string {
	vendor, model = strings.TrimPrefix(vendor, "0x"), strings.TrimPrefix(model, "0x")
	for _, path := range [...]string{"usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids"} {
		f, err := sys.Files.Open(path)
		if err != nil {
			continue
		}
		defer f.Close()
		return findPCIName(bufio.NewScanner(f), vendor, model)
	}
	return ""
}

// findPCIName reads pci.ids: vendors at the line's start, their devices after
// one tab. What is in brackets is the name that the card is sold under.
func findPCIName(lines *bufio.Scanner, vendor, model string) string {
	inVendor := false
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case len(line) == 0 || line[0] == '#' || bytes.HasPrefix(line, []byte("\t\t")):
		case line[0] != '\t':
			if inVendor {
				return ""
			}
			inVendor = bytes.HasPrefix(line, []byte(vendor+" "))
		case inVendor && bytes.HasPrefix(line[1:], []byte(model+" ")):
			name := oneLine(string(line[1+len(model):]))
			if from, to := strings.IndexByte(name, '['), strings.LastIndexByte(name, ']'); from >= 0 && to > from {
				name = name[from+1 : to]
			}
			return name
		}
	}
	return ""
}
