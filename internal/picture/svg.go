package picture

import (
	"fmt"
	"html"
	"strings"
)

// SVG draws the chart as an SVG document.
func (c *Chart) SVG() []byte {
	v := &vector{}
	fmt.Fprintf(&v.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %[1]g %[2]g" role="img" font-family="system-ui, sans-serif">`, width, c.height())
	fmt.Fprintf(&v.b, "<title>%s: %s</title>", html.EscapeString(c.Title), html.EscapeString(c.Verdict))
	c.draw(v)
	v.b.WriteString("</svg>\n")
	return []byte(v.b.String())
}

// vector is a canvas of SVG elements.
type vector struct{ b strings.Builder }

func (v *vector) rect(x, y, w, h float64, c colour) {
	fmt.Fprintf(&v.b, `<rect x="%.5g" y="%.5g" width="%.5g" height="%.5g" fill="%s"/>`, x, y, w, h, c.hex())
}

func (v *vector) write(x, y float64, s size, c colour, anchor int, text string) {
	where := "start"
	if anchor > 0 {
		where = "end"
	}
	fmt.Fprintf(&v.b, `<text x="%.5g" y="%.5g" font-size="%g" fill="%s" text-anchor="%s">%s</text>`, x, y, pixels[s], c.hex(), where, html.EscapeString(text))
}
