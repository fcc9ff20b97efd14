package picture

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
)

// SVG draws the plan as an SVG document.
func SVG(p *Plan) []byte {
	s := layout(p)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" font-family="Go, Helvetica, Arial, sans-serif" role="img"><title>`, s.width, s.height, s.width, s.height)
	escape(&b, p.Title+": "+p.Need)
	b.WriteString("</title>\n")
	for i := range s.items {
		it := &s.items[i]
		if it.text == "" {
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"%s/>`+"\n", it.x, it.y, it.w, it.h, paint(it.fill))
			continue
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="%g"%s`, it.x, it.y, it.size, paint(it.fill))
		if it.bold {
			b.WriteString(` font-weight="bold"`)
		}
		if it.end {
			b.WriteString(` text-anchor="end"`)
		}
		b.WriteByte('>')
		escape(&b, it.text)
		b.WriteString("</text>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func escape(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a buffer takes everything
}

func paint(c color.NRGBA) string {
	s := fmt.Sprintf(` fill="#%02x%02x%02x"`, c.R, c.G, c.B)
	if c.A < 255 {
		s += fmt.Sprintf(` fill-opacity="%.2f"`, float64(c.A)/255)
	}
	return s
}
