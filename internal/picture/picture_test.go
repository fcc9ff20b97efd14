package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
	"testing"
)

const gib = 1 << 30

// example is 10 of 16 GiB, between 9 and 12, in two parts of 6 and 4.
func example() *Plan {
	return &Plan{
		Title: "org/name", Verdict: "fits", Says: "Fits", Need: "Needs 10.00 GiB of 16.00 GiB.",
		Devices: []Device{{Name: "card", Size: "10.00 GiB", Parts: []int64{6 * gib, 4 * gib, 0, 0, 0}, Low: 9 * gib, High: 12 * gib, Limit: 16 * gib, LimitText: "16.00 GiB usable"}},
		Parts:   []Part{{"weights", "6.00 GiB", 6 * gib}, {"KV cache", "4.00 GiB", 4 * gib}, {"state", "0 B", 0}, {"workspace", "0 B", 0}, {"runtime", "0 B", 0}},
		Layers:  []Layer{{3 * gib, 4 * gib}, {3 * gib, 0}},
		Range:   "range 9.00 GiB to 12.00 GiB",
	}
}

func decode(t *testing.T, p *Plan) *image.RGBA {
	t.Helper()
	raw, err := PNG(p)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	rgba, ok := img.(*image.RGBA) // as the decoder gives what is opaque
	if !ok {
		t.Fatalf("the picture is %T", img)
	}
	return rgba
}

// Lengths in the picture are in the ratio of the sizes.
func TestProportions(t *testing.T) {
	img := decode(t, example())
	width := img.Bounds().Dx()
	longest := func(c color.NRGBA) int {
		best := 0
		for y := range img.Bounds().Dy() {
			n := 0
			for x := range width {
				if img.RGBAAt(x, y) == color.RGBA(c) {
					n++
				}
			}
			best = max(best, n)
		}
		return best
	}
	bar := float64(inner * density)
	for name, c := range map[string]struct {
		colour color.NRGBA
		share  float64
	}{"weights": {partColours[0], 6. / 16}, "cache": {partColours[1], 4. / 16}, "free": {track, 6. / 16}} {
		if got := float64(longest(c.colour)) / bar; got < c.share-0.01 || got > c.share+0.01 {
			t.Errorf("%s takes %.3f of the bar, want %.3f", name, got, c.share)
		}
	}
}

// What does not fit is drawn over the limit.
func TestOver(t *testing.T) {
	p := example()
	red := func(img *image.RGBA) (n int) {
		for y := 100; y < img.Bounds().Dy(); y++ {
			for x := range img.Bounds().Dx() {
				if img.RGBAAt(x, y) == color.RGBA(verdicts["does_not_fit"]) {
					n++
				}
			}
		}
		return n
	}
	if n := red(decode(t, p)); n != 0 {
		t.Errorf("what fits is drawn as too much: %d", n)
	}
	p.Devices[0].Limit = 8 * gib
	if n := red(decode(t, p)); n == 0 {
		t.Error("what is too much is not drawn so")
	}
}

// SVG is well-formed whatever names are, and says what PNG says.
func TestSVG(t *testing.T) {
	p := example()
	p.Title = `<script>"&'` + "\x00\u202e" + strings.Repeat("x", 10_000)
	d := xml.NewDecoder(bytes.NewReader(SVG(p)))
	var text strings.Builder
	elements := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch v := token.(type) {
		case xml.StartElement:
			elements[v.Name.Local]++
		case xml.CharData:
			text.Write(v)
		}
	}
	for _, want := range []string{"card", "16.00 GiB usable", "range 9.00 GiB to 12.00 GiB", "KV cache", "Fits", "<script>"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in the text", want)
		}
	}
	if elements["script"] > 0 || elements["svg"] != 1 || strings.Contains(text.String(), "workspace") {
		t.Errorf("%v", elements)
	}
}

// Plans at the ends of what there is are drawn too.
func TestExtremes(t *testing.T) {
	many := example()
	many.Devices = make([]Device, 100)
	many.Layers = make([]Layer, 400)
	for name, p := range map[string]*Plan{"empty": {}, "many": many} {
		if b := decode(t, p).Bounds(); b.Dx() != width*density || b.Dy() < 100 || b.Dy() > 4000 {
			t.Errorf("%s: %v", name, b)
		}
	}
}

func BenchmarkPNG(b *testing.B) {
	p := example()
	for b.Loop() {
		if _, err := PNG(p); err != nil {
			b.Fatal(err)
		}
	}
}
