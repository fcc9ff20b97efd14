package tools

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
	"hwledger/internal/picture"
)

// tones are how verdicts are coloured.
var tones = map[string]picture.Tone{"fits": picture.Good, "tight": picture.Warning, "does_not_fit": picture.Bad}

// Chart is the plan as it is drawn.
func (p *Plan) Chart() *picture.Chart {
	verdict, _, _ := strings.Cut(verdicts[p.Verdict], ":")
	c := &picture.Chart{
		Title: p.Model.Reference, Verdict: verdict, Tone: tones[p.Verdict],
		Subtitle: fmt.Sprintf("%s, %s", p.engineName(), p.need()),
	}
	if p.Engine.ContextTokens > 0 {
		c.Subtitle = fmt.Sprintf("%s, %s tokens × %s: %s", p.engineName(), number(p.Engine.ContextTokens), plural(int(p.Engine.Sequences), "sequence", "sequences"), engine.Bytes(p.Totals.Required))
	}
	for i := 0; i < len(p.Devices); {
		n := 1
		for i+n < len(p.Devices) && p.Devices[i+n].Sizes == p.Devices[i].Sizes && p.Devices[i+n].Name == p.Devices[i].Name {
			n++
		}
		b := p.Devices[i].bar("device", n)
		b.Low, b.High = p.ends(i)
		c.Bars = append(c.Bars, b)
		i += n
	}
	if p.Host != nil && p.Host.Required > 0 {
		c.Bars = append(c.Bars, p.Host.bar("system memory", 1))
	}
	if len(c.Bars) == 0 {
		all := DeviceUse{Sizes: p.Totals.Sizes}
		b := all.bar("all together", 1)
		b.Low, b.High = p.Totals.Low, p.Totals.High
		c.Bars = append(c.Bars, b)
	}
	for i, part := range p.Totals.Parts() {
		if part.Bytes > 0 {
			c.Legend = append(c.Legend, picture.Part{Kind: picture.Kind(i), Label: part.Name + " " + engine.Bytes(part.Bytes).String(), Bytes: part.Bytes})
		}
	}
	return c
}

// ends is the range of what the terms on a device come to. It needs the terms.
func (p *Plan) ends(device int) (low, high int64) {
	low = p.Devices[device].Required
	high = low
	for i := range p.Terms {
		t := &p.Terms[i]
		for _, on := range t.On {
			if on == device && t.High > t.Low {
				low -= t.Bytes - t.Low
				high += t.High - t.Bytes
			}
		}
	}
	return low, high
}

// bar draws n devices that take the same.
func (d *DeviceUse) bar(name string, n int) picture.Bar {
	if d.Name != "" {
		name = d.Name
	}
	if n > 1 {
		name = fmt.Sprintf("%d × %s, each", n, name)
	}
	b := picture.Bar{Label: name, Value: engine.Bytes(d.Required).String(), Low: d.Required, High: d.Required}
	if d.Total != nil {
		b.Total = *d.Total
	}
	if d.Usable != nil {
		b.Limit = *d.Usable + d.Outside
		b.Value += " of " + engine.Bytes(b.Limit).String()
	}
	for i, part := range d.Parts() {
		b.Parts = append(b.Parts, picture.Part{Kind: picture.Kind(i), Label: part.Name, Bytes: part.Bytes})
	}
	return b
}
