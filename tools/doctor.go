package tools

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/probe"
)

// Doctor says what this machine has, what is missing and how to mend it, in a
// form to paste into a report of a fault. Names of the user and of the
// machine, serial numbers and addresses of devices beyond their place are not
// in it.
func (s *Surface) Doctor(ctx context.Context) (string, error) {
	inv, err := s.opts.Machine.Now(ctx)
	if err != nil {
		return "", err
	}
	p := ProbeQuery{Detail: "full"}.answer(ctx, s.opts, inv, nil)
	var b strings.Builder
	line := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		rest := strings.TrimLeft(text, " ")
		b.WriteString(text[:len(text)-len(rest)] + lookup.Clean(rest, 600) + "\n")
	}
	line("hwledger-mcp %s on %s/%s", s.opts.Version, p.Host.OS, p.Host.Arch)
	doctorHost(line, &p.Host)
	if len(p.Devices) == 0 {
		line("device: none")
	}
	for i := range p.Devices {
		doctorDevice(line, &p.Devices[i], i)
	}
	for _, e := range p.Host.Engines {
		line("engine %s: %s %s", e.Engine, e.State, e.Reason)
		for _, d := range e.Devices {
			line("  sees %s: %s, %s free", d.Name, engine.Bytes(d.Total), engine.Bytes(d.Free))
		}
		for _, d := range e.Differences {
			line("  differs: %s", d)
		}
	}
	for _, x := range p.Sources {
		text := fmt.Sprintf("source %s: %s", x.Name, x.State)
		if x.Reason != "" {
			text += ", " + x.Reason
		}
		line("%s", text)
	}
	findings := probe.Findings(inv)
	line("%s", plural(len(findings), "finding", "findings"))
	for _, f := range findings {
		line("- %s", f.Problem)
		if f.Fix != "" {
			line("  do: %s", f.Fix)
		}
	}
	return anonymous(b.String()), nil
}

func doctorHost(line func(string, ...any), h *ProbedHost) {
	text := func(v *string) string {
		if v == nil {
			return "unknown"
		}
		return *v
	}
	size := func(v *int64) string {
		if v == nil {
			return "unknown"
		}
		return engine.Bytes(*v).String()
	}
	limit := "none"
	if h.Limit != nil {
		limit = size(h.Limit)
	}
	line("kernel: %s; container: %s; WSL: %s", text(h.Kernel), text(h.Container), text(h.WSL))
	line("processor: %s", text(h.CPU))
	line("memory: %s, %s available, %s usable, limit %s; swap %s", size(h.Total), size(h.Available), size(h.Usable), limit, size(h.SwapTotal))
	for _, d := range h.Disks {
		line("disk of %s: %s free of %s, %s", d.Role, size(d.Free), size(d.Total), text(d.FileSystem))
	}
}

func doctorDevice(line func(string, ...any), d *ProbedDevice, n int) {
	line("device %d: %s", n, d.text())
	facts := []string{d.Vendor, "driver " + orUnknown(d.Driver)}
	for _, x := range []*string{d.Runtime, d.Capability} {
		if x != nil {
			facts = append(facts, *x)
		}
	}
	if d.MIG != nil {
		facts = append(facts, "MIG "+*d.MIG)
	}
	if d.MaxLinkGen != nil && d.MaxWidth != nil {
		facts = append(facts, fmt.Sprintf("PCIe up to %d×%d", *d.MaxLinkGen, *d.MaxWidth))
	}
	line("  %s", strings.Join(facts, ", "))
	for _, name := range []string{"total_bytes", "free_bytes", "utilization_percent", "power_watts"} {
		if f, ok := d.Fields[name]; ok && f.State != string(probe.OK) {
			line("  %s: %s (%s: %s)", name, f.State, f.Source, f.Reason)
		}
	}
}

func orUnknown(v *string) string {
	if v == nil {
		return "unknown"
	}
	return *v
}

// private is what a report must not have in it, wherever it came from: a tool's
// warning may quote a path or a UUID. Compiled when a report is made.
var private = sync.OnceValue(func() (p struct{ home, uuid, key *regexp.Regexp }) {
	p.home = regexp.MustCompile(`(?i)(/home/|/Users/|\\Users\\)[^/\\\s"']+`)
	p.uuid = regexp.MustCompile(`(?i)\b(GPU-|MIG-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	p.key = regexp.MustCompile(`\b(hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{8,}`)
	return p
})

// anonymous takes users' folders, UUIDs and tokens out of a text.
func anonymous(s string) string {
	s = private().home.ReplaceAllString(s, "${1}USER")
	s = private().uuid.ReplaceAllString(s, "${1}UUID")
	return private().key.ReplaceAllString(s, "TOKEN")
}
