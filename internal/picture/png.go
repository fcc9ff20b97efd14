package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// density is how many pixels a unit has: text stays sharp when enlarged.
const density = 2

// fonts are parsed when the first picture is drawn.
var fonts = sync.OnceValue(func() (f struct{ regular, bold *sfnt.Font }) {
	var err error
	if f.regular, err = opentype.Parse(goregular.TTF); err != nil {
		panic(err) // it is part of the program
	}
	if f.bold, err = opentype.Parse(gobold.TTF); err != nil {
		panic(err)
	}
	return f
})

func newFace(size float64, bold bool) font.Face {
	f := fonts().regular
	if bold {
		f = fonts().bold
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(err) // the options are constants
	}
	return face
}

// PNG draws the plan as a PNG of two pixels for each unit.
func PNG(p *Plan) ([]byte, error) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.DefaultCompression}).Encode(&b, layout(p).raster()); err != nil {
		return nil, fmt.Errorf("encoding the picture: %w", err)
	}
	return b.Bytes(), nil
}

func (s *scene) raster() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, int(s.width*density), int(s.height*density)))
	faces := map[item]font.Face{}
	for i := range s.items {
		it := &s.items[i]
		if it.text == "" {
			fill(img, it)
			continue
		}
		key := item{size: it.size, bold: it.bold}
		if faces[key] == nil {
			faces[key] = newFace(it.size*density, it.bold)
		}
		d := font.Drawer{Dst: img, Src: image.NewUniform(it.fill), Face: faces[key]}
		d.Dot = fixed.Point26_6{X: fixed.Int26_6(it.x * density * 64), Y: fixed.Int26_6(it.y * density * 64)}
		if it.end {
			d.Dot.X -= d.MeasureString(it.text)
		}
		d.DrawString(it.text)
	}
	return img
}

// fill draws a rectangle, whose edges between pixels are mixed.
func fill(img *image.RGBA, it *item) {
	x0, x1 := it.x*density, (it.x+it.w)*density
	y0, y1 := int(math.Round(it.y*density)), int(math.Round((it.y+it.h)*density))
	strip := func(from, to int, cover float64) {
		c := it.fill
		c.A = uint8(float64(c.A)*cover + 0.5)
		draw.Draw(img, image.Rect(from, y0, to, y1), image.NewUniform(c), image.Point{}, draw.Over)
	}
	first, last := int(math.Ceil(x0)), int(math.Floor(x1))
	if first > last { // within one pixel
		strip(last, first, x1-x0)
		return
	}
	strip(first-1, first, float64(first)-x0)
	strip(first, last, 1)
	strip(last, last+1, x1-float64(last))
}
