package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// windowsSource lists graphics adapters as Windows names them. The memory it
// has for them ends at 4 GiB, so it is not read: NVIDIA's tool tells theirs.
func windowsSource() Source {
	return Source{Name: "windows", OS: []string{"windows"}, Every: 10 * time.Minute, Read: func(ctx context.Context, sys *System) Reading {
		out, err := sys.Run(ctx, Command{Name: "powershell", Args: []string{"-NoProfile", "-NonInteractive", "-Command",
			"Get-CimInstance Win32_VideoController | Select-Object Name,DriverVersion,PNPDeviceID | ConvertTo-Json -Compress"}})
		if err != nil {
			return failed(err, "powershell", "")
		}
		devices, ok := parseAdapters(out)
		if !ok {
			return Reading{State: Unsupported, Reason: "powershell printed nothing that can be read"}
		}
		return Reading{State: OK, Devices: devices}
	}}
}

// parseAdapters reads a list of adapters, or one alone.
func parseAdapters(out []byte) ([]Device, bool) {
	const source = "windows"
	type adapter struct {
		Name, DriverVersion, PNPDeviceID string
	}
	raw, ok := object(out)
	if !ok {
		return nil, false
	}
	var list []adapter
	if json.Unmarshal(raw, &list) != nil {
		list = make([]adapter, 1)
		if json.Unmarshal(raw, &list[0]) != nil {
			return nil, false
		}
	}
	devices := []Device{}
	count := map[string]int{}
	for _, a := range list[:min(len(list), 64)] {
		id := strings.ToLower(a.PNPDeviceID) // PCI\VEN_10DE&DEV_2684&…
		_, rest, ok := strings.Cut(id, `pci\ven_`)
		if !ok || len(rest) < 4 || notGPU["0x"+rest[:4]] {
			continue // of a remote desktop or a virtual machine
		}
		d := Device{Vendor: pciVendors["0x"+rest[:4]], Kind: Unknown, Name: word(source, a.Name), Driver: word(source, a.DriverVersion)}
		if d.Vendor == "" {
			d.Vendor = oneLine(rest[:4])
		}
		d.Index = count[d.Vendor]
		count[d.Vendor]++
		d.ID = fmt.Sprintf("%s:%d", d.Vendor, d.Index)
		d.Total = missing[int64](source, Unsupported, "Windows tells no more than 4 GiB of it")
		devices = append(devices, d)
	}
	return devices, true
}
