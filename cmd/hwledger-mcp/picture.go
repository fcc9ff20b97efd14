package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/tools"
)

// isTerminal reports whether f is a terminal, or another character device.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colours follows https://no-color.org, and leaves out terminals that have
// none.
func colours(e *env) bool {
	if e.getenv("NO_COLOR") != "" || e.getenv("TERM") == "dumb" {
		return false
	}
	return runtime.GOOS != "windows" || e.getenv("WT_SESSION") != "" || e.getenv("TERM") != ""
}

// columns returns the terminal's width when the shell exports it.
func columns(e *env) int {
	if n, err := strconv.Atoi(e.getenv("COLUMNS")); err == nil && n >= 40 {
		return min(n, 120)
	}
	return 80
}

// picture draws a plan for people.
type picture struct {
	out    io.Writer
	colour bool
	width  int
}

// The looks of the categories, in the order of tools.Sizes.Parts: colours,
// and glyphs that tell them apart without.
var looks = []struct{ colour, glyph, plain string }{
	{"34", "█", "█"}, // weights
	{"32", "█", "▓"}, // KV cache
	{"36", "█", "▒"}, // state
	{"33", "█", "░"}, // workspace
	{"35", "█", "="}, // runtime
}

var verdictColours = map[string]string{"fits": "1;32", "tight": "1;33", "does_not_fit": "1;31", "unknown": "1;36"}

func (p picture) paint(colour, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// plan draws the verdict, a bar for each different device, the legend and
// what the text says beside.
func (p picture) plan(a *tools.Plan) {
	lines := strings.Split(strings.TrimRight(a.Text(), "\n"), "\n")
	verdict, rest, _ := strings.Cut(lines[0], ". ")
	fmt.Fprintf(p.out, "%s  %s\n\n", p.paint(verdictColours[a.Verdict], verdict), rest)
	for i, n := range a.Equal() {
		p.device(&a.Devices[i], n)
	}
	if a.Host != nil {
		p.device(a.Host, 1)
	}
	p.legend(a.Totals.Sizes)
	fmt.Fprintln(p.out)
	for _, l := range lines[1:] {
		fmt.Fprintln(p.out, l)
	}
}

// device draws one bar: what is used in colour, what is free dotted, and a
// mark at what is usable when more is needed.
func (p picture) device(d *tools.DeviceUse, n int) {
	name := d.Name
	if name == "" {
		name = "device"
	}
	if n > 1 {
		name = fmt.Sprintf("%d× %s", n, name)
	}
	size := engine.Bytes(d.Required).String()
	whole := d.Required
	if d.Usable != nil {
		size += " of " + engine.Bytes(*d.Usable).String()
		whole = max(whole, *d.Usable)
	}
	const label = 26
	if r := []rune(name); len(r) > label {
		name = string(r[:label-1]) + "…"
	}
	cells := max(10, p.width-label-len(size)-4)
	fmt.Fprintf(p.out, "%-*s %s %s\n", label, name, p.bar(d, whole, cells), size)
}

func (p picture) bar(d *tools.DeviceUse, whole int64, cells int) string {
	if whole <= 0 {
		return "[" + strings.Repeat("·", cells) + "]"
	}
	mark := -1
	if d.Usable != nil && d.Required > *d.Usable {
		mark = int(float64(*d.Usable) / float64(whole) * float64(cells))
	}
	var b strings.Builder
	var sum int64
	at := 0
	for i, part := range d.Parts() {
		sum += part.Bytes
		end := int(float64(sum)/float64(whole)*float64(cells) + 0.5)
		if at <= mark && mark < end {
			b.WriteString(p.run(i, mark-at) + p.paint("1;31", "┃"))
			at = mark + 1
		}
		b.WriteString(p.run(i, end-at))
		at = max(at, end)
	}
	b.WriteString(p.paint("2", strings.Repeat("·", max(0, cells-at))))
	return "[" + b.String() + "]"
}

// run draws n cells of a category.
func (p picture) run(category, n int) string {
	if n <= 0 {
		return ""
	}
	return p.paint(looks[category].colour, strings.Repeat(p.glyph(category), n))
}

func (p picture) glyph(category int) string {
	if p.colour {
		return looks[category].glyph
	}
	return looks[category].plain
}

func (p picture) legend(s tools.Sizes) {
	var parts []string
	for i, part := range s.Parts() {
		if part.Bytes == 0 {
			continue
		}
		parts = append(parts, p.paint(looks[i].colour, p.glyph(i))+" "+part.Name+" "+engine.Bytes(part.Bytes).String())
	}
	fmt.Fprintf(p.out, "%s\n", strings.Join(parts, "   "))
}
