package tools

import (
	"fmt"
	"iter"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/internal/picture"
)

// SVG draws the plan as an SVG document.
func (p *Plan) SVG() []byte { return picture.SVG(p.drawing()) }

// PNG draws the plan as a picture of pixels.
func (p *Plan) PNG() ([]byte, error) { return picture.PNG(p.drawing()) }

// drawing says what of the plan is drawn, in words where there are words.
func (p *Plan) drawing() *picture.Plan {
	d := &picture.Plan{
		Title: p.Model.Reference, Verdict: p.Verdict, Need: sentence(p.need()),
		Says: map[string]string{"fits": "Fits", "tight": "Tight", "does_not_fit": "Does not fit", "unknown": "Size only"}[p.Verdict],
	}
	d.Subtitle = p.engineName()
	if p.Engine.ContextTokens > 0 {
		d.Subtitle += fmt.Sprintf(" · %s tokens × %s", number(p.Engine.ContextTokens), plural(int(p.Engine.Sequences), "sequence", "sequences"))
	}
	for _, part := range p.Totals.Parts() {
		d.Parts = append(d.Parts, picture.Part{Name: part.Name, Size: engine.Bytes(part.Bytes).String(), Bytes: part.Bytes})
	}
	if p.Totals.Low != p.Totals.High {
		d.Range = fmt.Sprintf("range %s to %s", engine.Bytes(p.Totals.Low), engine.Bytes(p.Totals.High))
	}
	for i, n := range p.Equal() {
		d.Devices = append(d.Devices, p.bar(&p.Devices[i], &p.from.Devices[i], n))
	}
	if p.Host != nil && p.Host.Required > 0 {
		d.Devices = append(d.Devices, p.bar(p.Host, p.from.Host, 1))
	}
	for _, l := range layerUse(p.found, p.from) {
		d.Layers = append(d.Layers, picture.Layer{Weights: l.Weights, Cache: l.Cache})
	}
	return d
}

// bar is n equal devices; of has the range of each.
func (p *Plan) bar(u *DeviceUse, of *calc.DeviceUse, n int) picture.Device {
	d := picture.Device{Name: u.Name, Size: engine.Bytes(u.Required).String(), Low: int64(of.Low), High: int64(of.High)}
	if d.Name == "" {
		d.Name = "device"
	}
	if n > 1 {
		d.Name, d.Size = fmt.Sprintf("%d × %s", n, d.Name), d.Size+" each"
	}
	for _, part := range u.Parts() {
		d.Parts = append(d.Parts, part.Bytes)
	}
	if u.Usable != nil {
		// What lies outside the budget does not count against it.
		d.Limit, d.LimitText = *u.Usable+u.Outside, engine.Bytes(*u.Usable).String()+" usable"
	}
	return d
}

// Equal yields the first device of each run that takes the same, and how many
// are in the run.
func (p *Plan) Equal() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i, n := 0, 0; i < len(p.Devices); i += n {
			for n = 1; i+n < len(p.Devices) && p.Devices[i+n].Sizes == p.Devices[i].Sizes && p.Devices[i+n].Name == p.Devices[i].Name; n++ {
			}
			if !yield(i, n) {
				return
			}
		}
	}
}
