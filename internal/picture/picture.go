// Package picture draws what a plan says, for clients and pages that show
// images: one bar for each device, stacked by what takes the memory, with the
// range, and the line of what is usable.
package picture

import (
	"fmt"
	"strings"
)

// Chart is what is drawn. Sizes are in bytes.
type Chart struct {
	Title, Subtitle string
	// Verdict is drawn in the colour of Tone.
	Verdict string
	Tone    Tone
	Bars    []Bar
	Legend  []Part
}

// Tone is how good a verdict is.
type Tone int

// The tones.
const (
	Neutral Tone = iota
	Good
	Warning
	Bad
)

// Bar is one device, or several that take the same.
type Bar struct {
	Label, Value string
	Parts        []Part
	// Low and High are the ends of the sum's range; equal when it is exact.
	Low, High int64
	// Limit is what may be taken, 0 when it is not known.
	Limit int64
	// Total is the length that the bar is drawn against; the longest of a chart
	// is the scale.
	Total int64
}

// Part is a piece of a bar, and its line of the legend.
type Part struct {
	Kind  Kind
	Label string
	Bytes int64
}

// Kind is what memory is for; it has a colour.
type Kind int

// The kinds.
const (
	Weights Kind = iota
	Cache
	State
	Workspace
	Runtime
)

type colour struct{ r, g, b uint8 }

func (c colour) hex() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

var (
	ground = colour{255, 255, 255}
	raised = colour{245, 246, 248}
	line   = colour{223, 226, 231}
	text   = colour{26, 29, 33}
	quiet  = colour{91, 100, 112}
	limit  = colour{179, 38, 30}
)

// kinds are told apart by colour-blind eyes and in grey.
var kinds = [...]colour{{47, 111, 219}, {18, 133, 92}, {14, 142, 168}, {199, 119, 0}, {139, 82, 201}}

var tones = [...]colour{{91, 100, 112}, {18, 116, 79}, {138, 90, 0}, {179, 38, 30}}

// canvas is what a chart is drawn on. Lengths are in pixels.
type canvas interface {
	rect(x, y, w, h float64, c colour)
	// write puts a line of text; y is its baseline. anchor is -1 for text that
	// begins at x, 1 for text that ends there.
	write(x, y float64, size size, c colour, anchor int, s string)
}

type size int

const (
	small size = iota
	normal
	large
)

// pixels are the heights of the sizes.
var pixels = [...]float64{12, 14, 19}

const (
	width  = 760.0
	margin = 20.0
	barH   = 26.0
	rowH   = 58.0
	inner  = width - 2*margin
	// mostBars are as many as one looks at.
	mostBars = 16
	// mostText bounds a label, in characters that fit a line.
	mostText = 70
)

func (c *Chart) height() float64 {
	return 96 + rowH*float64(min(len(c.Bars), mostBars)) + 22*float64((len(c.Legend)+2)/3) + 10
}

// draw draws the chart.
func (c *Chart) draw(on canvas) {
	on.rect(0, 0, width, c.height(), ground)
	on.write(margin, 34, large, text, -1, clip(c.Title))
	on.write(width-margin, 34, large, tones[c.Tone], 1, clip(c.Verdict))
	on.write(margin, 56, normal, quiet, -1, clip(c.Subtitle))
	y := 84.0
	scale := int64(1)
	for i := range c.Bars {
		scale = max(scale, c.Bars[i].Total, c.Bars[i].sum())
	}
	for i := range c.Bars[:min(len(c.Bars), mostBars)] {
		c.Bars[i].draw(on, y, inner/float64(scale))
		y += rowH
	}
	for i, p := range c.Legend {
		x := margin + float64(i%3)*inner/3
		row := y + 12 + 22*float64(i/3)
		on.rect(x, row-9, 10, 10, kinds[p.Kind])
		on.write(x+16, row, small, text, -1, clip(p.Label))
	}
}

func (b *Bar) sum() int64 {
	n := int64(0)
	for _, p := range b.Parts {
		n += p.Bytes
	}
	return n
}

func (b *Bar) draw(on canvas, y, scale float64) {
	on.write(margin, y, small, text, -1, clip(b.Label))
	on.write(width-margin, y, small, quiet, 1, clip(b.Value))
	top := y + 7
	on.rect(margin, top, inner, barH, line)
	on.rect(margin+1, top+1, inner-2, barH-2, raised)
	at := func(n int64) float64 { return margin + min(max(float64(n)*scale, 0), inner) }
	from := int64(0)
	for _, p := range b.Parts {
		on.rect(at(from), top, at(from+p.Bytes)-at(from), barH, kinds[p.Kind])
		from += p.Bytes
	}
	if b.Low < b.High {
		for x := at(b.Low); x < at(b.High); x += 5 {
			on.rect(x, top+barH/2-2, 2, 4, text)
		}
	}
	if b.Limit > 0 {
		on.rect(at(b.Limit)-1, top-2, 2, barH+4, limit)
	}
}

// clip keeps a label in its line.
func clip(s string) string {
	r := []rune(strings.ToValidUTF8(s, "?"))
	if len(r) <= mostText {
		return s
	}
	return string(r[:mostText-1]) + "…"
}
