package paged

import (
	"math"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func TestParseRelease(t *testing.T) {
	for s, want := range map[string]string{
		"3.3.7": "3.3.7", "v1.2.0rc3": "1.2.0", "0.13.0.dev2024082000": "0.13.0", " V2.4 ": "2.4.0", "1.3.x": "1.3.0",
		"": "", "latest": "", "9e92262": "", "1": "", ".1": "", "1.": "", "-1.2": "",
	} {
		r, ok := ParseRelease(s)
		if ok != (want != "") || ok && r.String() != want {
			t.Errorf("ParseRelease(%q) = %s, %v; want %q", s, r, ok, want)
		}
	}
	if !(Release{1, 10, 0}).AtLeast(Release{1, 9, 9}) || (Release{0, 99, 0}).AtLeast(Release{1, 0, 0}) {
		t.Error("releases are not ordered by number")
	}
}

func FuzzParseRelease(f *testing.F) {
	for _, s := range []string{"3.3.7", "v1.2.0rc3", "latest", "1..2", "99999999.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := ParseRelease(s); ok && (r[0] < 0 || r[0] > 99999 || r[1] < 0 || r[2] < 0) {
			t.Errorf("%q is %v", s, r)
		}
	})
}

func TestOptions(t *testing.T) {
	o := &Options{Flags: engine.Flags{"n": 3, "list": []any{1.0, "2"}, "text": "[4, 5]", "one": 6, "f": 0.5}}
	if n := o.Int("n", 1, 10); n != 3 {
		t.Errorf("n = %d", n)
	}
	if n := o.Int("absent", 7, 10); n != 7 {
		t.Errorf("absent = %d", n)
	}
	for name, want := range map[string][]int64{"list": {1, 2}, "text": {4, 5}, "one": {6}, "absent": nil} {
		got := o.Ints(name, 10)
		if len(got) != len(want) {
			t.Errorf("%s = %v", name, got)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
	}
	if o.Err != nil {
		t.Error(o.Err)
	}
	for name, v := range map[string]any{"high": 11, "low": -1, "word": "x"} {
		o := &Options{Flags: engine.Flags{name: v}}
		if o.Int(name, 0, 10); o.Err == nil {
			t.Errorf("%s = %v is accepted", name, v)
		}
	}
	for _, v := range []float64{0, -1, 1.5, math.NaN(), math.Inf(1)} {
		o := &Options{Flags: engine.Flags{"f": v}}
		if o.Fraction("f", 0.9); o.Err == nil {
			t.Errorf("a fraction of %v is accepted", v)
		}
	}
	o = &Options{Flags: engine.Flags{"list": make([]any, maxList+1)}}
	if o.Ints("list", 10); o.Err == nil {
		t.Error("a list without end is accepted")
	}
}

func TestMul(t *testing.T) {
	for _, v := range [][3]int64{{3, 4, 12}, {0, 5, 0}, {-1, 5, 0}, {1 << 40, 1 << 40, Most}, {math.MaxInt64, math.MaxInt64, Most}, {Most, 1, Most}} {
		if got := Mul(v[0], v[1]); got != v[2] {
			t.Errorf("Mul(%d, %d) = %d, want %d", v[0], v[1], got, v[2])
		}
	}
}

// vLLM logged 0.77 GiB of peak activation for CodeLlama-7B at 8192 tokens,
// whose small vocabulary leaves the network as the peak.
func TestActivation(t *testing.T) {
	m := &model.Model{Hidden: 4096}
	l := []model.Layer{{Mixers: []model.Mixer{&model.Attention{Heads: 32, KVHeads: 32, KeyDim: 128, ValueDim: 128, SharedFrom: -1}}, FFN: model.FFN{Width: 11008, Gated: true}}}
	bound := float64(Activation(m, l, 1, 8192, 2)) / (1 << 30)
	if bound > 0.77 || bound < 0.4 {
		t.Errorf("a bound of %.2f GiB", bound)
	}
	if one, two := Activation(m, l, 1, 8192, 2), Activation(m, l, 2, 8192, 2); two >= one {
		t.Errorf("two ranks need %d, one %d", two, one)
	}
}

// Lists that a caller writes are numbers within bounds, or an error.
func FuzzInts(f *testing.F) {
	for _, s := range []string{"1,2", "[512, 512]", "", ",,", "1e9", "-1", "９"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := &Options{Flags: engine.Flags{"list": s}}
		for _, n := range o.Ints("list", 1000) {
			if n < 1 || n > 1000 {
				t.Errorf("%q has %d", s, n)
			}
		}
	})
}
