package probe

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// rocmSMISource runs rocm-smi, which amd-smi replaces and which is still what
// many have.
func rocmSMISource() Source {
	return Source{Name: "rocm-smi", Every: 5 * time.Second, Instead: unread("amd"), Read: func(ctx context.Context, sys *System) Reading {
		out, err := sys.Run(ctx, Command{Name: "rocm-smi", Args: []string{
			"--showproductname", "--showuse", "--showmeminfo", "all", "--showtemp", "--showpower", "--showbus", "--showdriverversion", "--json",
		}})
		if err != nil && len(out) == 0 {
			return failed(err, "rocm-smi", "")
		}
		devices := parseROCmSMI(out)
		if devices == nil {
			return Reading{State: Unsupported, Reason: "rocm-smi printed nothing that can be read: " + quote(string(out[:min(len(out), 200)]))}
		}
		return Reading{State: OK, Devices: devices}
	}}
}

// parseROCmSMI reads what rocm-smi prints as JSON, CSV or text: a table of
// values for each card.
func parseROCmSMI(out []byte) []Device {
	if raw, ok := object(out); ok {
		if cards := rocmJSON(raw); cards != nil {
			return rocmDevices(cards)
		}
	}
	if cards := rocmCSV(out); cards != nil {
		return rocmDevices(cards)
	}
	if cards := rocmText(out); cards != nil {
		return rocmDevices(cards)
	}
	return nil
}

// rocmCards are the values of cards by their number, and of all of them under
// -1.
type rocmCards map[int64]map[string]string

func rocmJSON(raw json.RawMessage) rocmCards {
	var top map[string]map[string]any
	if json.Unmarshal(raw, &top) != nil {
		return nil
	}
	cards := rocmCards{}
	for name, values := range top {
		n, ok := numbered(name, "card")
		if name == "system" {
			n, ok = -1, true
		}
		if !ok || n > 1024 {
			continue
		}
		cards[n] = map[string]string{}
		for k, v := range values {
			cards[n][strings.ToLower(k)] = fmt.Sprint(v)
		}
	}
	return cards.checked()
}

// checked returns nil when there are no cards.
func (c rocmCards) checked() rocmCards {
	for n := range c {
		if n >= 0 {
			return c
		}
	}
	return nil
}

// rocmCSV reads columns by their names: their order changed between versions.
func rocmCSV(out []byte) rocmCards {
	at := bytes.Index(out, []byte("device,"))
	if at < 0 {
		return nil
	}
	r := csv.NewReader(bytes.NewReader(out[at:]))
	r.LazyQuotes, r.FieldsPerRecord = true, -1
	var head []string
	cards := rocmCards{}
	for len(cards) < 1024 {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(row) == 0 {
			continue
		}
		n, ok := numbered(row[0], "card")
		switch {
		case row[0] == "device":
			head = row
		case ok && len(row) <= len(head):
			cards[n] = map[string]string{}
			for i, v := range row {
				cards[n][strings.ToLower(head[i])] = v
			}
		}
	}
	return cards.checked()
}

var rocmLine = pattern(`^GPU\[(\d{1,4})\]\s*: (.+?): (.*)$`)

func rocmText(out []byte) rocmCards {
	cards := rocmCards{}
	for _, line := range strings.Split(string(out), "\n") {
		m := rocmLine().FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		n, _ := integer(m[1])
		if cards[n] == nil {
			cards[n] = map[string]string{}
		}
		cards[n][strings.ToLower(m[2])] = m[3]
	}
	return cards.checked()
}

func rocmDevices(cards rocmCards) []Device {
	const source = "rocm-smi"
	var numbers []int64
	for n := range cards {
		if n >= 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var out []Device
	for _, n := range numbers {
		v := cards[n]
		d := Device{Vendor: "amd", Kind: Dedicated, Index: int(n), ID: fmt.Sprintf("amd:%d", n)}
		d.Name = word(source, first(v, "card series", "device name"))
		if model := first(v, "card model"); (strings.HasPrefix(d.Name.Value, "0x") || !d.Name.Known()) && model != "" && !strings.HasPrefix(model, "0x") {
			d.Name = word(source, model) // older versions have the name there
		}
		if bus := first(v, "pci bus"); !unavailable(bus) {
			d.PCI = address(bus)
			d.ID = d.PCI
		}
		d.Capability = word(source, first(v, "gfx version"))
		d.Driver = word(source, first(cards[-1], "driver version"))
		d.Utilization = cell(source, first(v, "gpu use (%)"))
		d.Temperature = cell(source, first(v, "temperature (sensor edge) (c)", "temperature (sensor junction) (c)"))
		d.MemoryTemperature = cell(source, first(v, "temperature (sensor memory) (c)"))
		d.Power = cell(source, first(v, "current socket graphics package power (w)", "average graphics package power (w)"))
		d.rocmMemory(v)
		out = append(out, d)
	}
	return out
}

// first returns the first of the values that a card has.
func first(v map[string]string, names ...string) string {
	for _, name := range names {
		if s, ok := v[name]; ok && !unavailable(s) {
			return s
		}
	}
	return ""
}

// rocmMemory reads VRAM, and for a processor's graphics what they may map of
// the system's memory as well, see amdMemory.
func (d *Device) rocmMemory(v map[string]string) {
	const source = "rocm-smi"
	field := func(name string) Field[int64] {
		n, ok := size(first(v, name))
		if !ok {
			return missing[int64](source, Unsupported, "reported as "+quote(v[name]))
		}
		return known(source, n)
	}
	d.Total, d.Used = field("vram total memory (b)"), field("vram total used memory (b)")
	gtt, used := field("gtt total memory (b)"), field("gtt total used memory (b)")
	if integratedAMD(d, gtt) {
		d.mapped(source, gtt, used)
	}
}
