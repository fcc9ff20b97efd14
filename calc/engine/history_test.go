package engine

import (
	"strings"
	"testing"
)

var h100 = Hardware{Devices: []Device{{Name: "H100", Vendor: "nvidia"}}}

func graphs(mib Bytes) Term {
	return Term{Name: "CUDA graphs", Category: Runtime, On: []int{0}, Bytes: mib * MiB, Low: mib / 2 * MiB, High: 2 * mib * MiB, Formula: "by the rules"}
}

// A start tells of the same start what it took, and of another between so much
// more and so many times as much.
func TestCorrect(t *testing.T) {
	hw := h100
	hw.History.Took = []Took{{Engine: "vllm", Version: "0.19.0", Device: "H100", Ranks: "1x1", Term: "CUDA graphs", Start: "a", Planned: 400 * MiB, Bytes: 600 * MiB}}
	l := Load{Version: "0.19.1"}
	for _, c := range []struct{ planned, mid, low, high Bytes }{
		{400, 600, 400, 1000},
		// 200 more, and half as much again: 1000 and 1200; the rules' range of
		// 400 below and 800 above is kept around both.
		{800, 1100, 600, 2000},
	} {
		got := hw.Correct("vllm", &l, []Term{graphs(c.planned)})[0]
		if got.Bytes != c.mid*MiB || got.Low != c.low*MiB || got.High != c.high*MiB || got.Source != FromHistory || got.Confidence != Measured ||
			got.Inputs[0] != (Input{Name: "planned_without", Value: int64(c.planned * MiB), From: "rules"}) {
			t.Errorf("%d MiB: %s, %s to %s: %+v", c.planned, got.Bytes, got.Low, got.High, got)
		}
	}
}

// The same start takes what it took, whatever others did.
func TestCorrectSame(t *testing.T) {
	hw, l := h100, Load{Version: "0.19.0"}
	k := Took{Engine: "vllm", Version: "0.19.0", Device: "H100", Ranks: "1x1", Term: "CUDA graphs", Start: "b", Planned: 400 * MiB, Bytes: 3000 * MiB}
	hw.History = History{Start: "a", Took: []Took{k, k}}
	hw.History.Took[1].Start, hw.History.Took[1].Bytes = "a", 700*MiB
	if got := hw.Correct("vllm", &l, []Term{graphs(400)})[0]; got.Bytes != 700*MiB || got.Low != 650*MiB || got.High != 800*MiB {
		t.Errorf("%s, %s to %s", got.Bytes, got.Low, got.High)
	}
}

// A workspace is the model's: another model's that was outside the rules' range
// moves it to the end of its own range. (A vision model whose profile run held
// 128 images took 35 GiB where 0.2 were planned.)
func TestCorrectWorkspace(t *testing.T) {
	hw, l := h100, Load{Version: "0.19.0"}
	hw.History.Took = []Took{{Engine: "vllm", Version: "0.19.0", Device: "H100", Ranks: "1x1", Term: "profile base", Start: "b", Planned: 188 * MiB, Bytes: 35 * GiB}}
	term := graphs(188)
	term.Name, term.Category = "profile base", Workspace
	if got := hw.Correct("vllm", &l, []Term{term})[0]; got.Bytes != term.High || got.High > 2*term.High {
		t.Errorf("%s, %s to %s", got.Bytes, got.Low, got.High)
	}
}

// What is not a start of this on that says nothing.
func TestCorrectKeeps(t *testing.T) {
	took := Took{Engine: "vllm", Version: "0.19.0", Device: "H100", Ranks: "1x1", Term: "CUDA graphs", Start: "a", Planned: 400 * MiB, Bytes: 600 * MiB}
	for name, change := range map[string]func(*Took, *Hardware, *Load, *Term){
		"engine":    func(k *Took, _ *Hardware, _ *Load, _ *Term) { k.Engine = "sglang" },
		"device":    func(_ *Took, hw *Hardware, _ *Load, _ *Term) { hw.Devices = []Device{{Name: "A100"}} },
		"ranks":     func(_ *Took, _ *Hardware, l *Load, _ *Term) { l.TensorParallel = 2 },
		"term":      func(k *Took, _ *Hardware, _ *Load, _ *Term) { k.Term = "activation" },
		"host":      func(_ *Took, _ *Hardware, _ *Load, t *Term) { t.On = nil },
		"processor": func(_ *Took, hw *Hardware, _ *Load, _ *Term) { hw.Devices = []Device{{Name: "H100", Vendor: "cpu"}} },
		"closed":    func(_ *Took, _ *Hardware, _ *Load, t *Term) { t.Low, t.High = 0, 0 },
		"cache":     func(_ *Took, _ *Hardware, _ *Load, t *Term) { t.Category = KVCache },
	} {
		hw, l, term, k := h100, Load{Version: "0.19.0"}, graphs(400), took
		change(&k, &hw, &l, &term)
		hw.History.Took = []Took{k}
		if got := hw.Correct("vllm", &l, []Term{term})[0]; got.Bytes != 400*MiB || got.Source == FromHistory {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Runs of one start count once, the newest; another release widens the range to
// the rules' own, and is not asked where there is the same one.
func TestCorrectReleases(t *testing.T) {
	k := func(version, start string, took Bytes) Took {
		return Took{Engine: "vllm", Version: version, Device: "H100", Ranks: "1x1", Term: "CUDA graphs", Start: start, Planned: 400 * MiB, Bytes: took * MiB}
	}
	hw, l := h100, Load{Version: "0.19.0"}
	hw.History.Took = []Took{k("0.19.2", "a", 500), k("0.19.1", "a", 900), k("0.11.0", "b", 3000)}
	if got := hw.Correct("vllm", &l, []Term{graphs(400)})[0]; got.Bytes != 500*MiB {
		t.Errorf("%+v", got)
	}
	hw.History.Took = hw.History.Took[2:]
	if got := hw.Correct("vllm", &l, []Term{graphs(400)})[0]; got.Bytes != 3000*MiB || got.Low != 200*MiB || got.High != 3400*MiB {
		t.Errorf("%s, %s to %s", got.Bytes, got.Low, got.High)
	}
	// With starts of four kinds a quarter of the rules' range is left.
	hw.History.Took = []Took{k("0.19.0", "a", 500), k("0.19.0", "b", 600), k("0.19.0", "c", 620), k("0.19.0", "d", 700)}
	if got := hw.Correct("vllm", &l, []Term{graphs(400)})[0]; got.Bytes != 610*MiB || got.Low != 450*MiB || got.High != 800*MiB {
		t.Errorf("%s, %s to %s", got.Bytes, got.Low, got.High)
	}
}

func TestRelease(t *testing.T) {
	h := History{Took: []Took{{Engine: "sglang", Version: "0.5.6"}, {Engine: "vllm"}, {Engine: "vllm", Version: "0.19.0"}, {Engine: "vllm", Version: "0.11.0"}}}
	if h.Release("vllm") != "0.19.0" || h.Release("tgi") != "" || new(History).Release("vllm") != "" {
		t.Errorf("%q", h.Release("vllm"))
	}
	for v, want := range map[string]string{"v0.19.2rc1": "0.19", "b8999": "b8999", "": "", "8.0": "8.0"} {
		if got := Series(v); got != want {
			t.Errorf("%q: %q", v, got)
		}
	}
}

// Whatever a ledger claims, a term stays a size with a range around it.
func FuzzCorrect(f *testing.F) {
	f.Add(int64(400<<20), int64(600<<20), int64(300<<20), int64(100), int64(1<<40), "0.19.0")
	f.Add(int64(-1), int64(1)<<62, int64(0), int64(-5), int64(1)<<50, "")
	f.Fuzz(func(t *testing.T, planned, took, bytes, low, high int64, version string) {
		if bytes < 0 || bytes > 1<<50 || low > bytes || high < bytes || high > 1<<51 || low < -(1<<40) {
			t.Skip()
		}
		hw := h100
		hw.History.Took = []Took{{Engine: "e", Device: "H100", Ranks: "1x1", Term: "x", Start: "a", Planned: Bytes(planned), Bytes: Bytes(took), Version: version}}
		term := Term{Name: "x", Category: Workspace, On: []int{0}, Bytes: Bytes(bytes), Low: Bytes(low), High: Bytes(high)}
		got := hw.Correct("e", &Load{Version: strings.ToUpper(version)}, []Term{term})[0]
		if got.Bytes < 0 || got.Low > got.Bytes || got.High < got.Bytes || got.High > 1<<53 || got.Low < min(0, term.Low) {
			t.Errorf("%+v", got)
		}
	})
}
