package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// density is how many dots a pixel of the chart has each way.
const density = 2

// PNG draws the chart as a PNG image.
func (c *Chart) PNG() ([]byte, error) {
	fonts, err := faces()
	if err != nil {
		return nil, err
	}
	r := &raster{fonts: fonts, to: image.NewRGBA(image.Rect(0, 0, width*density, int(math.Ceil(c.height()*density))))}
	c.draw(r)
	var out bytes.Buffer
	err = png.Encode(&out, r.to)
	return out.Bytes(), err
}

// faces makes the sizes of the one font; a face draws for one at a time.
func faces() (out [3]font.Face, err error) {
	f, err := parsed()
	if err != nil {
		return out, fmt.Errorf("reading the font: %w", err)
	}
	for i, px := range pixels {
		if out[i], err = opentype.NewFace(f, &opentype.FaceOptions{Size: px * density, DPI: 72, Hinting: font.HintingNone}); err != nil {
			return out, fmt.Errorf("sizing the font: %w", err)
		}
	}
	return out, nil
}

var parsed = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(goregular.TTF) })

// raster is a canvas of dots.
type raster struct {
	to    *image.RGBA
	fonts [3]font.Face
}

func (c colour) image() image.Image { return image.NewUniform(color.RGBA{c.r, c.g, c.b, 255}) }

func (r *raster) rect(x, y, w, h float64, c colour) {
	dot := func(v float64) int { return int(math.Round(v * density)) }
	draw.Draw(r.to, image.Rect(dot(x), dot(y), dot(x+w), dot(y+h)), c.image(), image.Point{}, draw.Src)
}

func (r *raster) write(x, y float64, s size, c colour, anchor int, text string) {
	d := font.Drawer{Dst: r.to, Src: c.image(), Face: r.fonts[s]}
	at := fixed.Int26_6(x * density * 64)
	if anchor > 0 {
		at -= d.MeasureString(text)
	}
	d.Dot = fixed.Point26_6{X: at, Y: fixed.Int26_6(y * density * 64)}
	d.DrawString(text)
}
