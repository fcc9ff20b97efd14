package picture

import (
	"bytes"
	"encoding/xml"
	"image/color"
	"image/png"
	"io"
	"strings"
	"testing"
)

func chart() *Chart {
	return &Chart{
		Title: `org/a<b>&"c"`, Subtitle: "engine 1.0", Verdict: "FITS", Tone: Good,
		Bars:   []Bar{{Label: "device", Value: "3 of 8", Total: 1000, Limit: 800, Low: 250, High: 500, Parts: []Part{{Weights, "weights", 200}, {Cache, "cache", 100}}}},
		Legend: []Part{{Weights, "weights 200", 200}, {Cache, "cache 100", 100}},
	}
}

// The picture is the one that was meant: a fifth of the bar has the colour of
// weights, a tenth that of the cache, and the limit stands at four fifths.
func TestPNG(t *testing.T) {
	b, err := chart().PNG()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	const y = (84 + 7 + 3) * density
	seen := map[color.RGBA]int{}
	for x := range img.Bounds().Dx() {
		r, g, b, _ := img.At(x, y).RGBA()
		seen[color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}]++
	}
	for _, c := range []struct {
		is   colour
		want int
	}{{kinds[Weights], inner * density / 5}, {kinds[Cache], inner * density / 10}, {limit, 2 * density}} {
		if got := seen[color.RGBA{c.is.r, c.is.g, c.is.b, 255}]; got < c.want-1 || got > c.want+1 {
			t.Errorf("%v: %d dots, want %d", c.is, got, c.want)
		}
	}
}

// Names are text in the document, whatever is in them.
func TestSVG(t *testing.T) {
	svg := chart().SVG()
	var text strings.Builder
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
		if c, ok := tok.(xml.CharData); ok {
			text.Write(c)
		}
	}
	for _, want := range []string{`org/a<b>&"c"`, "FITS", "3 of 8", "cache 100"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in it", want)
		}
	}
}

// Nothing is drawn outside, and nothing breaks.
func TestOdd(t *testing.T) {
	for _, c := range []*Chart{
		{}, {Title: strings.Repeat("ü", 500), Bars: []Bar{{}, {Parts: []Part{{Runtime, "x", 1 << 60}}, Limit: 1 << 62, Low: 1, High: 1 << 61}}},
		{Title: "\xff\x00", Bars: make([]Bar, 400), Legend: make([]Part, 9)},
	} {
		if _, err := c.PNG(); err != nil {
			t.Error(err)
		}
		if svg := c.SVG(); bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%s", svg)
		}
	}
}
