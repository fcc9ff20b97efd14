package picture

import (
	"fmt"
	"image/color"
	"math"
)

// Plan is what is drawn. Sizes are bytes.
type Plan struct {
	Title, Subtitle string
	Verdict         string // a verdict of plan_memory
	Says            string // the verdict in words
	Need            string // what is needed of what there is
	Devices         []Device
	Parts           []Part // of all devices
	Layers          []Layer
	Range           string // the range in words, "" for none
}

// Device is one bar.
type Device struct {
	Name, Size string
	Parts      []int64 // in the order of Plan.Parts
	Low, High  int64   // of their sum
	// Limit is what the sum may be, 0 when that is not known.
	Limit     int64
	LimitText string
}

// Part is a kind of memory: weights, KV cache and so on.
type Part struct {
	Name, Size string
	Bytes      int64
}

// Layer is one column of the heat map.
type Layer struct{ Weights, Cache int64 }

func rgb(v uint32) color.NRGBA {
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 255}
}

// The colours of the planner's light theme; parts in the order of Plan.Parts.
var (
	partColours = []color.NRGBA{rgb(0x3568d4), rgb(0x0a857b), rgb(0x8a4fc8), rgb(0xb96a05), rgb(0x6b7482)}
	verdicts    = map[string]color.NRGBA{"fits": rgb(0x14713f), "tight": rgb(0x8a5a00), "does_not_fit": rgb(0xb3261e)}
	paper       = rgb(0xffffff)
	ink         = rgb(0x1b1f27)
	quiet       = rgb(0x596170)
	track       = rgb(0xe9ebf0)
	spread      = color.NRGBA{R: 0x1b, G: 0x1f, B: 0x27, A: 0x40}
)

const (
	width, margin = 720.0, 24.0
	inner         = width - 2*margin
	// mostDevices bounds the picture; what is left out is said. perRow is how
	// many layers stand beside each other.
	mostDevices = 8
	perRow      = 40
)

// layout arranges the plan from top to bottom.
func layout(p *Plan) *scene {
	s := &scene{width: width}
	s.items = append(s.items, item{w: width, fill: paper}) // as high as the rest will be
	s.text(margin, 38, 18, ink, cut(p.Title, 18, inner-150)).bold = true
	verdict, ok := verdicts[p.Verdict]
	if !ok {
		verdict = quiet
	}
	says := s.text(width-margin, 38, 15, verdict, p.Says)
	says.bold, says.end = true, true
	s.text(margin, 58, 12, quiet, cut(p.Subtitle, 12, inner))
	y := 68.0
	for _, line := range wrap(p.Need, 15, inner) {
		y += 21
		s.text(margin, y, 15, ink, line)
	}
	y += 14
	var whole int64 = 1
	for i := range p.Devices {
		d := &p.Devices[i]
		whole = max(whole, d.High, d.Limit, sum(d.Parts))
	}
	for i := range p.Devices[:min(len(p.Devices), mostDevices)] {
		y = s.device(&p.Devices[i], whole, y)
	}
	if more := len(p.Devices) - mostDevices; more > 0 {
		y += 18
		s.text(margin, y, 12, quiet, fmt.Sprintf("and %d more devices or groups of equal ones", more))
	}
	y = s.legend(p, y+16)
	if len(p.Layers) > 0 {
		y = s.layers(p.Layers, y+14)
	}
	s.height = math.Ceil(y + margin)
	s.items[0].h = s.height
	return s
}

func sum(parts []int64) (n int64) {
	for _, p := range parts {
		n += p
	}
	return n
}

// device draws a bar from y on: what is needed in colours, the range over its
// end, and the limit as a mark. It returns where the bar's room ends.
func (s *scene) device(d *Device, whole int64, y float64) float64 {
	at := func(n int64) float64 { return float64(n) / float64(whole) * inner }
	s.text(margin, y+18, 12, ink, cut(d.Name, 12, inner/2))
	s.text(width-margin, y+18, 12, quiet, d.Size).end = true
	y += 25
	s.rect(margin, y, inner, 24, track)
	var from int64
	for i, n := range d.Parts {
		s.rect(margin+at(from), y, math.Max(at(n)-1, 0.5), 24, partColours[i])
		from += n
	}
	if d.High > d.Low {
		s.rect(margin+at(d.Low), y+7, at(d.High-d.Low), 10, spread)
		s.rect(margin+at(d.Low), y+3, 1, 18, ink)
		s.rect(margin+at(d.High)-1, y+3, 1, 18, ink)
	}
	if d.Limit == 0 {
		return y + 30
	}
	if from > d.Limit {
		s.rect(margin+at(d.Limit), y-4, at(from-d.Limit), 2, verdicts["does_not_fit"])
	}
	s.rect(margin+at(d.Limit)-1, y-4, 2, 32, ink)
	label := s.text(margin+at(d.Limit), y+40, 11, quiet, d.LimitText)
	label.end = d.Limit > whole/2
	return y + 44
}

func (s *scene) legend(p *Plan, y float64) float64 {
	x := margin
	for i, part := range p.Parts {
		if part.Bytes == 0 {
			continue
		}
		s.rect(x, y+2, 10, 10, partColours[i])
		s.text(x+16, y+11, 12, ink, part.Name)
		s.text(x+16, y+27, 12, quiet, part.Size)
		x += inner / 5
	}
	y += 32
	if p.Range != "" {
		s.rect(margin, y+5, 10, 6, spread)
		s.rect(margin, y+3, 1, 10, ink)
		s.rect(margin+9, y+3, 1, 10, ink)
		s.text(margin+16, y+12, 12, quiet, p.Range)
		y += 18
	}
	return y
}

// layers draws a column for each layer: weights above, cache below, each the
// deeper the nearer it is to the largest.
func (s *scene) layers(layers []Layer, y float64) float64 {
	s.text(margin, y+8, 12, quiet, "Layers: weights above, cache below")
	y += 16
	var most Layer
	for _, l := range layers {
		most.Weights, most.Cache = max(most.Weights, l.Weights), max(most.Cache, l.Cache)
	}
	rows := (len(layers) + perRow - 1) / perRow
	columns := (len(layers) + rows - 1) / rows
	step := math.Min(inner/float64(columns), 20)
	for i, l := range layers {
		x, top := margin+float64(i%columns)*step, y+float64(i/columns)*31
		s.rect(x, top, step-2, 12, shade(0, l.Weights, most.Weights))
		s.rect(x, top+13, step-2, 12, shade(1, l.Cache, most.Cache))
	}
	return y + float64(rows)*31 - 5
}

// shade mixes a part's colour into the track.
func shade(part int, n, most int64) color.NRGBA {
	if n <= 0 {
		return track
	}
	v := 0.12 + 0.88*float64(n)/float64(most)
	c := partColours[part]
	mix := func(a, b uint8) uint8 { return uint8(float64(a)*(1-v) + float64(b)*v + 0.5) }
	return color.NRGBA{R: mix(track.R, c.R), G: mix(track.G, c.G), B: mix(track.B, c.B), A: 255}
}
