// Package picture draws a plan as SVG or PNG, for clients that show pictures
// and no pages.
package picture

import (
	"image/color"
	"strings"

	"golang.org/x/image/font"
)

// scene is what a picture is made of, in units of CSS pixels. Both formats
// draw it in order.
type scene struct {
	width, height float64
	items         []item
}

// item is a rectangle or, when text is set, a line of text on the baseline at
// y, that begins at x or ends there.
type item struct {
	x, y, w, h float64
	fill       color.NRGBA
	text       string
	size       float64
	bold, end  bool
}

func (s *scene) rect(x, y, w, h float64, fill color.NRGBA) {
	if w > 0 && h > 0 {
		s.items = append(s.items, item{x: x, y: y, w: w, h: h, fill: fill})
	}
}

func (s *scene) text(x, y, size float64, fill color.NRGBA, text string) *item {
	s.items = append(s.items, item{x: x, y: y, size: size, fill: fill, text: text})
	return &s.items[len(s.items)-1]
}

// mostRunes is more than a line of a picture holds.
const mostRunes = 300

// measure returns the width of text in the font that PNG is drawn with.
func measure(face font.Face, text string) float64 {
	return float64(font.MeasureString(face, text)) / 64
}

// cut shortens text to a width.
func cut(text string, size, width float64) string {
	face := newFace(size, false)
	r := []rune(text)
	if measure(face, string(r[:min(len(r), mostRunes)])) <= width && len(r) <= mostRunes {
		return text
	}
	for i := min(len(r), mostRunes); i > 0; i-- {
		if t := string(r[:i]) + "…"; measure(face, t) <= width {
			return t
		}
	}
	return ""
}

// wrap breaks text into lines of a width.
func wrap(text string, size, width float64) []string {
	face := newFace(size, false)
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines); n > 0 && measure(face, lines[n-1]+" "+word) <= width {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, cut(word, size, width))
	}
	return lines
}
