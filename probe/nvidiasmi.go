package probe

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// smiFields are asked of nvidia-smi in this order. The name comes last: it
// may have commas in it.
var smiFields = []string{
	"index", "uuid", "pci.bus_id", "memory.total", "memory.used", "memory.free", "memory.reserved",
	"utilization.gpu", "utilization.memory", "temperature.gpu", "power.draw", "power.limit",
	"pcie.link.gen.current", "pcie.link.gen.max", "pcie.link.width.current", "pcie.link.width.max",
	"driver_version", "mig.mode.current", "compute_cap", "addressing_mode", "name",
}

// nvidiaSMISource runs NVIDIA's tool, where its library cannot be called.
func nvidiaSMISource() Source {
	return Source{Name: "nvidia-smi", Instead: lacks("nvidia"), Read: readNvidiaSMI}
}

func readNvidiaSMI(ctx context.Context, sys *System) Reading {
	awake, suspended := sleepers(sys)
	if len(suspended) > 0 && len(awake) == 0 {
		return Reading{State: OK, Reason: "all cards are suspended", Devices: suspended}
	}
	var only []string
	if len(suspended) > 0 {
		slices.Sort(awake)
		only = []string{"--id=" + strings.Join(awake, ",")}
	}
	devices, err := querySMI(ctx, sys, only)
	if err != nil {
		return smiFailure(sys, err)
	}
	if len(devices) == 0 && len(suspended) == 0 {
		return absent("nvidia-smi finds no device", "")
	}
	smiProcesses(ctx, sys, only, devices)
	qualify(sys, devices)
	if slices.ContainsFunc(devices, func(d Device) bool { return d.MIG.Value == "enabled" }) {
		if out, err := sys.Run(ctx, Command{Name: "nvidia-smi", Args: append([]string{"-q", "-x"}, only...)}); err == nil {
			devices = withPartitions(devices, out)
		}
	}
	return Reading{State: OK, Devices: append(devices, suspended...)}
}

var invalidField = pattern(`Field "([a-z0-9_.]+)" is not a valid field`)

// querySMI asks for all fields; one that this version does not know fails the
// whole query, which is then asked again without it.
func querySMI(ctx context.Context, sys *System, only []string) ([]Device, error) {
	fields := slices.Clone(smiFields)
	for {
		out, err := sys.Run(ctx, Command{Name: "nvidia-smi", Args: append([]string{"--query-gpu=" + strings.Join(fields, ","), "--format=csv,noheader,nounits"}, only...)})
		unknown := invalidField().FindSubmatch(out)
		var e *ExecError
		if unknown == nil && errors.As(err, &e) {
			unknown = invalidField().FindSubmatch([]byte(e.Stderr))
		}
		if unknown != nil {
			before := len(fields)
			fields = slices.DeleteFunc(fields, func(f string) bool { return f == string(unknown[1]) && f != "name" })
			if len(fields) < before {
				continue
			}
		}
		if err != nil {
			if e != nil && e.Stderr == "" { // it writes its reason to standard output
				e.Stderr = oneLine(string(out))
			}
			return nil, err
		}
		return parseNvidiaSMI(fields, out), nil
	}
}

// smiFailure reads how nvidia-smi ended: its status is NVML's code, or its
// text says which.
func smiFailure(sys *System, err error) Reading {
	var e *ExecError
	if !errors.As(err, &e) {
		hint := ""
		if len(nvidiaCards(sys)) > 0 {
			hint = "install the NVIDIA driver, which nvidia-smi comes with"
		}
		return failed(err, "nvidia-smi", hint)
	}
	switch {
	case e.Timeout:
		r := failed(err, "nvidia-smi", "a driver that does not answer needs a restart; its reason is in the kernel log")
		return r
	case e.Code == nvmlMismatch, strings.Contains(e.Stderr, "version mismatch"):
		return nvidiaFailure(sys, nvmlMismatch)
	case e.Code == nvmlNotLoaded, strings.Contains(e.Stderr, "couldn't communicate with the NVIDIA driver"):
		return nvidiaFailure(sys, nvmlNotLoaded)
	case e.Code == nvmlLost, e.Code == nvmlNoPermission, e.Code == nvmlNoLibrary:
		return nvidiaFailure(sys, e.Code)
	case strings.Contains(e.Stderr, "No devices were found"):
		return absent("nvidia-smi finds no device", "")
	}
	return failed(err, "nvidia-smi", "")
}

// parseNvidiaSMI reads the answer to a query of fields, with a header and
// units or without. A line that is none is left out: warnings are printed
// among them.
func parseNvidiaSMI(fields []string, out []byte) []Device {
	r := csv.NewReader(bytes.NewReader(out))
	r.LazyQuotes, r.TrimLeadingSpace, r.FieldsPerRecord = true, true, -1
	var devices []Device
	for len(devices) < 1024 {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			continue
		}
		if head := header(row); head != nil {
			fields = head
			continue
		}
		if len(row) < len(fields) || len(fields) == 0 {
			continue
		}
		if last := len(fields) - 1; fields[last] == "name" {
			row[last] = strings.Join(row[last:], ", ")
		} else if len(row) > len(fields) {
			continue
		}
		devices = append(devices, smiDevice(fields, row, len(devices)))
	}
	return devices
}

// header returns the fields that a header names, nil for a line of values.
func header(row []string) []string {
	var out []string
	for _, c := range row {
		name, _, _ := strings.Cut(c, " [")
		if !slices.Contains(smiFields, name) {
			return nil
		}
		out = append(out, name)
	}
	return out
}

func smiDevice(fields, row []string, n int) Device {
	const source = "nvidia-smi"
	d := Device{Vendor: "nvidia", Kind: Dedicated, Index: n}
	for i, name := range fields {
		v := strings.TrimSpace(row[i])
		switch name {
		case "index":
			if k, ok := integer(v); ok && k < 1<<20 {
				d.Index = int(k)
			}
		case "uuid":
			if !unavailable(v) {
				d.UUID = oneLine(v)
			}
		case "pci.bus_id":
			if !unavailable(v) {
				d.PCI = address(v)
			}
		case "name":
			d.Name = word(source, v)
		case "driver_version":
			d.Driver = word(source, v)
		case "compute_cap":
			d.Capability = word(source, v)
		case "addressing_mode":
			d.Addressing = word(source, v)
			if strings.EqualFold(v, "none") {
				d.Addressing = known(source, "none")
			}
		case "mig.mode.current":
			d.MIG = word(source, strings.ToLower(v))
		}
		if slot := d.smiNumber(name); slot != nil {
			*slot = cell(source, v)
		}
		if slot, scale := d.smiInteger(name); slot != nil {
			f := cell(source, v)
			*slot = Field[int64]{Note: f.Note}
			if f.Known() && f.Value >= 0 && f.Value*scale <= mostBytes {
				slot.Value = int64(f.Value * scale)
			} else if f.Known() {
				*slot = missing[int64](source, Unsupported, "reported as "+quote(v))
			}
		}
	}
	switch {
	case d.UUID != "":
		d.ID = d.UUID
	case d.PCI != "":
		d.ID = d.PCI
	default:
		d.ID = fmt.Sprintf("nvidia:%d", d.Index)
	}
	shares := sharesMemory(d.Name.Or(""), d.Addressing.Or(""))
	switch {
	case !d.Total.Known() && shares, sharesMemory(d.Name.Or(""), ""):
		d.Kind = Unified
	case !d.Total.Known():
		d.Kind = Unknown
	}
	if d.MIG.Value == "enabled" {
		d.Excluded = parentCard
	}
	return d
}

// smiNumber returns where the number of a field goes.
func (d *Device) smiNumber(field string) *Field[float64] {
	switch field {
	case "utilization.gpu":
		return &d.Utilization
	case "utilization.memory":
		return &d.MemoryBusy
	case "temperature.gpu":
		return &d.Temperature
	case "power.draw":
		return &d.Power
	case "power.limit":
		return &d.PowerLimit
	}
	return nil
}

// smiInteger returns where the integer of a field goes, and what it counts.
// Memory is in MiB.
func (d *Device) smiInteger(field string) (*Field[int64], float64) {
	const mib = 1 << 20
	switch field {
	case "memory.total":
		return &d.Total, mib
	case "memory.used":
		return &d.Used, mib
	case "memory.free":
		return &d.Free, mib
	case "memory.reserved":
		return &d.Reserved, mib
	case "pcie.link.gen.current":
		return &d.LinkGeneration, 1
	case "pcie.link.gen.max":
		return &d.MaxLinkGen, 1
	case "pcie.link.width.current":
		return &d.LinkWidth, 1
	case "pcie.link.width.max":
		return &d.MaxWidth, 1
	}
	return nil, 0
}

// word is a text that a tool may say it has not.
func word(source, v string) Field[string] {
	if unavailable(v) {
		return missing[string](source, Unsupported, "reported as "+quote(v))
	}
	return known(source, oneLine(v))
}

// cell is a number that a tool may say it has not.
func cell(source, v string) Field[float64] {
	if n, ok := decimal(v); ok && !unavailable(v) {
		return known(source, n)
	}
	if strings.Contains(strings.ToLower(v), "permission") {
		return missing[float64](source, Denied, "reported as "+quote(v))
	}
	return missing[float64](source, Unsupported, "reported as "+quote(v))
}

// smiProcesses adds the processes that compute on devices.
func smiProcesses(ctx context.Context, sys *System, only []string, devices []Device) {
	out, err := sys.Run(ctx, Command{Name: "nvidia-smi", Args: append([]string{"--query-compute-apps=gpu_uuid,pid,used_memory", "--format=csv,noheader,nounits"}, only...)})
	if err != nil {
		for i := range devices {
			devices[i].Processes = missing[[]Process]("nvidia-smi", Unsupported, oneLine(err.Error()))
		}
		return
	}
	byUUID := parseSMIProcesses(out)
	for i := range devices {
		list := byUUID[devices[i].UUID]
		if list == nil {
			list = []Process{}
		}
		devices[i].Processes = known("nvidia-smi", list)
	}
}

// parseSMIProcesses reads lines of "UUID, pid, MiB".
func parseSMIProcesses(out []byte) map[string][]Process {
	byUUID := map[string][]Process{}
	for i, line := range bytes.Split(out, []byte("\n")) {
		f := strings.Split(string(line), ",")
		if len(f) != 3 || i > 4096 {
			continue
		}
		pid, ok := integer(f[1])
		if !ok {
			continue
		}
		p := Process{PID: pid, Used: missing[int64]("nvidia-smi", Unsupported, "reported as "+quote(f[2]))}
		if mib, ok := size(f[2]); ok && mib <= mostBytes>>20 {
			p.Used = known("nvidia-smi", mib<<20)
		}
		uuid := strings.TrimSpace(f[0])
		byUUID[uuid] = append(byUUID[uuid], p)
	}
	return byUUID
}

// smiLog is what is read of nvidia-smi -q -x: partitions are told there only.
type smiLog struct {
	GPUs []struct {
		Bus  string `xml:"id,attr"`
		UUID string `xml:"uuid"`
		MIG  []struct {
			Index  string    `xml:"index"`
			GI     string    `xml:"gpu_instance_id"`
			CI     string    `xml:"compute_instance_id"`
			UUID   string    `xml:"uuid"`
			Memory smiMemory `xml:"fb_memory_usage"`
		} `xml:"mig_devices>mig_device"`
	} `xml:"gpu"`
}

type smiMemory struct {
	Total    string `xml:"total"`
	Reserved string `xml:"reserved"`
	Used     string `xml:"used"`
	Free     string `xml:"free"`
}

// withPartitions adds the MIG devices of an XML log to their cards.
func withPartitions(cards []Device, out []byte) []Device {
	const source = "nvidia-smi"
	var log smiLog
	d := xml.NewDecoder(bytes.NewReader(out))
	d.Strict = false
	if d.Decode(&log) != nil {
		return cards
	}
	all := slices.Clone(cards)
	for _, g := range log.GPUs {
		at := slices.IndexFunc(cards, func(c Device) bool {
			return c.UUID != "" && c.UUID == strings.TrimSpace(g.UUID) || c.PCI != "" && c.PCI == address(g.Bus)
		})
		if at < 0 || cards[at].MIG.Value != "enabled" {
			continue
		}
		for i, m := range g.MIG[:min(len(g.MIG), 64)] {
			card := &cards[at]
			p := Device{Vendor: "nvidia", Kind: Dedicated, Index: -1, Parent: card.ID, Capability: card.Capability, Driver: card.Driver, UUID: oneLine(m.UUID)}
			if p.ID = p.UUID; p.ID == "" {
				p.ID = fmt.Sprintf("%s/mig%d", card.ID, i)
			}
			p.Name = known(source, oneLine(fmt.Sprintf("%s MIG %s/%s", card.Name.Or("NVIDIA"), m.GI, m.CI)))
			p.Total, p.Reserved, p.Used, p.Free = mib(source, m.Memory.Total), mib(source, m.Memory.Reserved), mib(source, m.Memory.Used), mib(source, m.Memory.Free)
			all = append(all, p)
		}
	}
	return all
}

// mib reads "4864 MiB".
func mib(source, v string) Field[int64] {
	n, ok := decimal(v)
	if !ok || n < 0 || n > mostBytes>>20 {
		return missing[int64](source, Unsupported, "reported as "+quote(v))
	}
	return known(source, int64(n*(1<<20)))
}
