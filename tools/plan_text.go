package tools

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"hwledger/calc/engine"
)

// The most of each list that Text shows: it goes into a model's context, and
// the structured answer has the rest.
const (
	textAssumed     = 5
	textSuggestions = 4
	textNotes       = 3
	textLine        = 240
)

var verdicts = map[string]string{
	"fits":         "FITS",
	"tight":        "TIGHT: the expected size fits, the high end of the range does not",
	"does_not_fit": "DOES NOT FIT",
	"unknown":      "SIZE ONLY: no hardware was given",
}

// Text says whether it fits, what takes the memory, and what to do next.
func (p *Plan) Text() string {
	var b strings.Builder
	b.Grow(1 << 10)
	var written []byte
	line := func(format string, args ...any) {
		written = fmt.Appendf(written[:0], format, args...)
		b.Write(shortened(written))
		b.WriteByte('\n')
	}
	line("%s. %s", verdicts[p.Verdict], p.need())
	if len(p.Model.Layers) > 0 {
		line("%s under %s: %s tokens × %s.", p.Model.Reference, p.engineName(), number(p.Engine.ContextTokens), plural(int(p.Engine.Sequences), "sequence", "sequences"))
	} else { // a pipeline, in which nothing is counted in tokens
		line("%s under %s.", p.Model.Reference, p.engineName())
	}
	line("%s.", p.parts())
	if len(p.Model.Layers) > 0 {
		line("%s", p.cacheText())
	}
	if p.Host != nil && p.Host.Required > 0 {
		line("System memory: %s.", engine.Bytes(p.Host.Required))
	}
	if t := p.Throughput; t != nil {
		line("Speed: %.3g to %.3g tokens/s%s, bound by %s.", t.Decode.Low, t.Decode.High, users(p.Engine.Sequences, t), t.Decode.BoundBy)
	}
	for i, a := range p.Engine.Assumed {
		if i == textAssumed {
			line("… %d more assumptions in engine.assumed.", len(p.Engine.Assumed)-i)
			break
		}
		line("Assumed %s = %s (%s).", a.Field, a.Value, a.Why)
	}
	for i, n := range p.Notes {
		if i == textNotes {
			break
		}
		line("Note: %s", n)
	}
	inAll := ""
	if len(p.Devices) > 1 {
		inAll = " in all"
	}
	for i, s := range p.Suggestions {
		if i == textSuggestions {
			break
		}
		line("To fit: %s (%s%s).", s.Change, engine.Bytes(s.Required), inAll)
	}
	line("%s", p.next())
	return b.String()
}

// shortened returns at most textLine characters of a line.
func shortened(line []byte) []byte {
	if len(line) <= textLine && utf8.Valid(line) {
		return line
	}
	s := []rune(string(line))
	if len(s) > textLine {
		s = append(s[:textLine], '…')
	}
	return []byte(string(s))
}

// need compares the fullest device with what it has.
func (p *Plan) need() string {
	if len(p.Devices) == 0 {
		return "Needs " + engine.Bytes(p.Totals.Required).String()
	}
	d := p.Fullest()
	s := "Needs " + engine.Bytes(d.Required).String()
	if n := len(p.Devices); n > 1 {
		s += fmt.Sprintf(" on the fullest of %d devices (%s in all)", n, engine.Bytes(p.Totals.Required))
	}
	if d.Usable == nil {
		return s + "."
	}
	if d.Outside > 0 {
		s += fmt.Sprintf(", %s of it beside the engine's budget,", engine.Bytes(d.Outside))
	}
	s += fmt.Sprintf(" of %s usable on %s", engine.Bytes(*d.Usable), d.Name)
	if d.Headroom != nil && *d.Headroom < 0 {
		return s + fmt.Sprintf(", %s too much.", engine.Bytes(-*d.Headroom))
	}
	return s + fmt.Sprintf(", %s left.", engine.Bytes(*d.Headroom))
}

// Fullest returns the device with the least room, or the most used one when
// the hardware is not known. There must be a device.
func (p *Plan) Fullest() *DeviceUse {
	best := &p.Devices[0]
	for i := range p.Devices[1:] {
		d := &p.Devices[i+1]
		switch {
		case d.Headroom != nil && best.Headroom != nil:
			if *d.Headroom < *best.Headroom {
				best = d
			}
		case d.Required > best.Required:
			best = d
		}
	}
	return best
}

func (p *Plan) engineName() string {
	return strings.TrimSpace(p.Engine.Name + " " + p.Engine.Version)
}

// parts lists what the memory is for, largest kinds as they come.
func (p *Plan) parts() string {
	var parts []string
	for _, c := range p.Totals.Parts() {
		if c.Bytes > 0 {
			parts = append(parts, c.Name+" "+engine.Bytes(c.Bytes).String())
		}
	}
	s := strings.Join(parts, ", ")
	if p.Totals.Low != p.Totals.High {
		s += fmt.Sprintf("; range %s to %s", engine.Bytes(p.Totals.Low), engine.Bytes(p.Totals.High))
	}
	return s
}

// Part is one category of sizes.
type Part struct {
	Name  string
	Bytes int64
}

// Parts returns the categories in order.
func (s Sizes) Parts() []Part {
	return []Part{{"weights", s.Weights}, {"KV cache", s.KVCache}, {"state", s.State}, {"workspace", s.Workspace}, {"runtime", s.Runtime}}
}

func (p *Plan) cacheText() string {
	c := p.Cache
	s := fmt.Sprintf("Cache: %s for each sequence, %s for each further token", engine.Bytes(c.PerSequence), engine.Bytes(c.MarginalPerToken))
	if c.Pool > 0 {
		s += fmt.Sprintf("; pool %s", engine.Bytes(c.Pool))
	}
	if c.CapacityTokens > 0 {
		s += fmt.Sprintf("; capacity %s tokens", number(c.CapacityTokens))
	}
	if c.MaxConcurrency > 0 {
		s += fmt.Sprintf(" or %.2f sequences of this length", c.MaxConcurrency)
	}
	return s + "."
}

func (p *Plan) next() string {
	switch {
	case p.Verdict == "unknown":
		return "Next: call again with hardware for a verdict."
	case len(p.Suggestions) > 0:
		return "Next: call again with the arguments of a suggestion."
	case p.Verdict == "does_not_fit":
		return "Next: no single change makes it fit; take a smaller model or larger hardware (lookup_hardware)."
	}
	if len(p.Model.Layers) == 0 {
		return "Next: leave room for activations, which are not in this plan; weights=fp16 or smaller takes less."
	}
	return "Next: change context_tokens or sequences to see how far it goes."
}

// users adds what each of several sequences gets.
func users(sequences int64, t *Throughput) string {
	if sequences < 2 {
		return ""
	}
	return fmt.Sprintf(" in all, %.3g to %.3g for each sequence", t.PerUser.Low, t.PerUser.High)
}
