package hardware

import (
	"errors"
	"strings"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func TestCatalogue(t *testing.T) {
	all := All()
	if len(all) < 120 {
		t.Fatalf("%d accelerators, want at least 120", len(all))
	}
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.Name] {
			t.Errorf("%s is listed twice", a.Name)
		}
		seen[a.Name] = true
		if a.Total <= 0 || a.Usable <= 0 || a.Usable > a.Total || a.TotalBasis == "" || a.UsableBasis == "" || a.SpecBasis == "" {
			t.Errorf("%s: memory or a basis is missing: %+v", a.Name, a)
		}
		if a.BandwidthGBs == 0 || a.Vendor == "" || a.Class == "" || a.Devices < 1 {
			t.Errorf("%s: bandwidth, vendor, class or devices are missing", a.Name)
		}
		if (a.USDPerHour > 0) != (a.PriceDate != "" && a.PriceSource != "") {
			t.Errorf("%s: a price needs its date and source", a.Name)
		}
	}
}

// Every name that the catalogue prints can be given back to it.
func TestNamesRoundTrip(t *testing.T) {
	check := func(name string, want int) {
		hw, err := Parse("2x " + name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			return
		}
		if len(hw.Devices) != 2*want || hw.Devices[0].Name != name {
			t.Errorf("%q gave %d × %q", name, len(hw.Devices), hw.Devices[0].Name)
		}
	}
	for _, a := range All() {
		if len(a.SizesGB) == 0 {
			check(a.Name, a.Devices)
		}
		for _, gb := range a.SizesGB {
			check(a.sized(gb).Name, a.Devices)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  string // names, comma-separated
		total engine.Bytes
	}{
		{"RTX 4090", "RTX 4090", 24564 * engine.MiB},
		{"4090", "RTX 4090", 24564 * engine.MiB},
		{"rtx4070ti", "RTX 4070 Ti", 12282 * engine.MiB},
		{"RTX 4070", "RTX 4070", 12282 * engine.MiB},
		{"nvidia geforce rtx 3090 ti", "RTX 3090 Ti", 24564 * engine.MiB},
		{"2x H100-80GB", "H100 SXM5 80GB,H100 SXM5 80GB", 81559 * engine.MiB},
		{"h100", "H100 SXM5 80GB", 81559 * engine.MiB},
		{"NVIDIA H100 80GB HBM3", "H100 SXM5 80GB", 81559 * engine.MiB},
		{"H100 94GB", "H100 NVL 94GB", 95830 * engine.MiB},
		{"h100_pcie", "H100 PCIe 80GB", 81559 * engine.MiB},
		{"2 x A100 40GB", "A100 SXM4 40GB,A100 SXM4 40GB", 40960 * engine.MiB},
		{"NVIDIA A100-SXM4-80GB", "A100 SXM4 80GB", 81920 * engine.MiB},
		{"2 A100", "A100 SXM4 80GB,A100 SXM4 80GB", 81920 * engine.MiB},
		{"NVIDIA GH200 480GB", "GH200 96GB", 97871 * engine.MiB},
		{"NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", 49140 * engine.MiB},
		{"NVIDIA RTX PRO 6000 Blackwell 96GB", "RTX PRO 6000 Blackwell Workstation", 97887 * engine.MiB},
		{"NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell Server", 97887 * engine.MiB},
		{"Tesla T4", "T4", 15360 * engine.MiB},
		{"RTX 3090 + RTX 4090", "RTX 3090,RTX 4090", 24576 * engine.MiB},
		{"RTX 4090 x2", "RTX 4090,RTX 4090", 24564 * engine.MiB},
		{"RTX 5060 Ti 16GB", "RTX 5060 Ti 16GB", 16311 * engine.MiB},
		{"M3 Max 64GB", "Apple M3 Max (40-core GPU) 64GB", 64 * engine.GiB},
		{"apple m4max 36 gb", "Apple M4 Max (32-core GPU) 36GB", 36 * engine.GiB},
		{"Mac Studio M2 Ultra 192GB", "Apple M2 Ultra 192GB", 192 * engine.GiB},
		{"DGX Spark", "DGX Spark (GB10)", 124609 * engine.MiB},
		{"Strix Halo 128GB", "Ryzen AI Max+ 395 (Strix Halo) 128GB", 128 * engine.GiB},
		{"AMD Ryzen AI Max+ 395 64GB", "Ryzen AI Max+ 395 (Strix Halo) 64GB", 64 * engine.GiB},
		{"AMD Instinct MI300X", "MI300X", 206141652992},
		{"MI250X", "MI250X,MI250X", 64*engine.GiB - 16*engine.MiB},
		{"Radeon RX 7900 XTX", "RX 7900 XTX", 24560 * engine.MiB},
		{"AMD Radeon AI PRO R9700 32GB", "Radeon AI PRO R9700", 32624 * engine.MiB},
		{"24GB", "24.00 GiB", 24 * engine.GiB},
		{"2x 80 GiB", "80.00 GiB,80.00 GiB", 80 * engine.GiB},
	} {
		hw, err := Parse(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		var got []string
		for _, d := range hw.Devices {
			got = append(got, d.Name)
		}
		total := hw.Devices[0].Total
		if a, err := Find(got[0]); err == nil {
			total = a.Total // as the vendor's tool reports it
		}
		if s := strings.Join(got, ","); s != c.want || total != c.total {
			t.Errorf("%q = %s with %d bytes, want %s with %d", c.text, s, total, c.want, c.total)
		}
	}
}

func TestHostMemory(t *testing.T) {
	hw, err := Parse("RTX 3060 + 64GB RAM")
	if err != nil || len(hw.Devices) != 1 || hw.Host == nil || hw.Host.Total != 64*engine.GiB {
		t.Fatalf("got %+v, %v", hw, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text      string
		code      model.Code
		candidate string // one that must be offered
	}{
		{"RTX 4060 Ti", model.InvalidArgument, "RTX 4060 Ti 16GB"},
		{"M3 Max", model.InvalidArgument, "Apple M3 Max (30-core GPU) 96GB"},
		{"M2", model.InvalidArgument, "Apple M2 24GB"},
		{"RTX 4090 48GB", model.HardwareNotFound, "RTX 4090"},
		{"RTX 4099", model.HardwareNotFound, "RTX 4090"},
		{"RTX 4090 Laptop", model.HardwareNotFound, "RTX 4090"},
		{"M3 Max 65GB", model.HardwareNotFound, "Apple M3 Max (40-core GPU) 64GB"},
		{"quantum abacus", model.HardwareNotFound, ""},
		{"0x H100", model.InvalidArgument, ""},
		{"99999x H100", model.InvalidArgument, ""},
		{" , ", model.InvalidArgument, ""},
		{strings.Repeat("4090+", 300), model.InvalidArgument, ""},
	} {
		_, err := Parse(c.text)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%q: %v, want code %s", c.text, err, c.code)
			continue
		}
		if c.candidate != "" && !strings.Contains(strings.Join(e.Candidates, "|"), c.candidate) {
			t.Errorf("%q offers %q, want %q among them", c.text, e.Candidates, c.candidate)
		}
	}
}

// What a process could have, as out-of-memory messages, vLLM (the H100) and
// llama.cpp (Metal's recommendedMaxWorkingSetSize) printed it.
func TestUsable(t *testing.T) {
	for _, c := range []struct {
		text string
		mib  float64
	}{
		{"RTX 4090", 23.64 * 1024}, {"RTX 3090", 23.68 * 1024}, {"RTX 5090", 31.36 * 1024}, {"H100", 79.19 * 1024},
		{"H200", 139.80 * 1024}, {"B200", 178.35 * 1024}, {"A100 40GB", 39.50 * 1024}, {"L40S", 44.40 * 1024}, {"T4", 14.57 * 1024},
		{"MI300X", 191.98 * 1024}, {"RTX 3060", 11.63 * 1024},
		// What Metal recommended on later chips, in GiB: the ceiling in oMLX's
		// log of an M4 and its Metal cap on 512 GB, mx.device_info() of an M4 Pro
		// and an M3 Ultra, the query on an M5 Max (antirez/ds4 pull request 893).
		// Strix Halo: llama.cpp's HIP total with ttm.pages_limit=25165824.
		{"M4 32GB", 24.96 * 1024}, {"M4 Pro 48GB", 37.44 * 1024}, {"M5 Max 128GB", 107.52 * 1024}, {"M3 Ultra 256GB", 208 * 1024},
		{"M3 Ultra 512GB", 464 * 1024}, {"Strix Halo 128GB", 98304},
		{"M1 Pro 16GB", 10922.67}, {"M2 Max 32GB", 21845.34}, {"M3 Pro 36GB", 27648}, {"M1 Max 64GB", 49152}, {"M2 Max 96GB", 73728},
	} {
		hw, err := Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		d := hw.Devices[0]
		if d.Kind == engine.Dedicated && (d.Total != d.Usable || d.Free != d.Usable) {
			t.Errorf("%s: total %d, free %d, usable %d of an idle card", c.text, d.Total, d.Free, d.Usable)
		}
		got := float64(d.Usable) / float64(engine.MiB)
		if d := got - c.mib; d < -0.02 || d > 0.02 {
			t.Errorf("%s: %.2f MiB usable, reported were %.2f", c.text, got, c.mib)
		}
	}
	// vLLM started on a GB10 with 95 % of 124609 MiB.
	if hw, err := Parse("DGX Spark"); err != nil || hw.Devices[0].Usable > 124609*engine.MiB*95/100 || hw.Devices[0].Usable < 124609*engine.MiB*94/100 {
		t.Errorf("DGX Spark: %v, %v", hw.Devices, err)
	}
	// The estimate for other NVIDIA cards stays within 2 % of what is printed.
	for total, visible := range map[engine.Bytes]float64{16376 * engine.MiB: 15.57, 8192 * engine.MiB: 7.66, 23028 * engine.MiB: 22.06} {
		got, _ := usable("nvidia", engine.Dedicated, total)
		if r := float64(got) / (visible * float64(engine.GiB)); r < 0.98 || r > 1.03 {
			t.Errorf("of %v: %v usable, reported were %.2f GiB", total, got, visible)
		}
	}
}

func TestLookup(t *testing.T) {
	got, err := Lookup("h100", Filter{})
	if err != nil || len(got) != 3 {
		t.Errorf("h100: %d entries, %v; want SXM5, PCIe and NVL", len(got), err)
	}
	got, err = Lookup("", Filter{Vendor: "AMD", MinMemory: 200 * engine.GiB})
	if err != nil || len(got) != 3 {
		t.Errorf("AMD over 200 GiB: %d entries, %v; want MI325X, MI350X and MI355X", len(got), err)
	}
	if _, err = Lookup("rtx 9999", Filter{}); err == nil {
		t.Error("rtx 9999 was found")
	}
}

func TestFromBytes(t *testing.T) {
	if d, err := FromBytes(1<<34, 2); err != nil || len(d) != 2 || d[1].Usable != 1<<34 {
		t.Errorf("got %v, %v", d, err)
	}
	for _, c := range [][2]int64{{0, 1}, {-1, 1}, {1 << 60, 1}, {1 << 30, 0}, {1 << 30, 1 << 20}} {
		if _, err := FromBytes(engine.Bytes(c[0]), int(c[1])); err == nil {
			t.Errorf("FromBytes(%d, %d) was accepted", c[0], c[1])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2x H100-80GB", "M3 Max 64GB", "RTX 3090 + RTX 4090 + 64GB RAM", "99999999999x", "×××", "Max+", "1e9GB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hw, err := Parse(s)
		if err == nil && len(hw.Devices) == 0 && hw.Host == nil {
			t.Errorf("%q: neither hardware nor an error", s)
		}
		for _, d := range hw.Devices {
			if d.Total <= 0 || d.Usable <= 0 {
				t.Errorf("%q: %+v", s, d)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("2x H100-80GB"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode is the first access: reading the whole table.
func BenchmarkDecode(b *testing.B) {
	lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
	for b.Loop() {
		for _, l := range lines[1:] {
			decode(strings.Split(l, "\t"))
		}
	}
}

// TestLadder: every rung's name is read back as the same devices, in order of
// memory; priced ones in order of price.
func TestLadder(t *testing.T) {
	ladder := Ladder()
	if len(ladder) < 400 {
		t.Fatalf("%d rungs", len(ladder))
	}
	for i, r := range ladder {
		hw, err := Parse(r.Name)
		if err != nil || len(hw.Devices) != len(r.Devices) || hw.Devices[0] != r.Devices[0] {
			t.Errorf("%s is read as %d devices, %v", r.Name, len(hw.Devices), err)
		}
		if i > 0 && r.Memory < ladder[i-1].Memory {
			t.Errorf("%s has less memory than %s before it", r.Name, ladder[i-1].Name)
		}
	}
	priced := ByPrice(ladder)
	for i := 1; i < len(priced); i++ {
		if priced[i].USDPerHour < priced[i-1].USDPerHour {
			t.Errorf("%s costs less than %s", priced[i].Name, priced[i-1].Name)
		}
	}
}
