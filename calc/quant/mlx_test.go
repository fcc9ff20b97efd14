package quant_test

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
	"hwledger/calc/quant"
)

// Sizes of published MLX repositories. MLX drops multi-token-prediction layers
// and keeps towers.
func TestMLXRepositories(t *testing.T) {
	raw, err := os.ReadFile("testdata/mlx_repos.tsv")
	if err != nil {
		t.Fatal(err)
	}
	checked, within, all := 0, 0, 0
	var off []float64
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if line[0] == '#' {
			continue
		}
		all++
		f := strings.Split(line, "\t")
		if len(f) == 5 {
			continue
		}
		checked++
		want, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		got := repositoryBytes(t, f[1], f[2])
		d := float64(got)/want - 1
		if math.Abs(d) > 0.01 {
			t.Errorf("%s as %s: %d bytes, repository has %s (%+.2f %%)", f[0], f[2], got, f[3], 100*d)
			continue
		}
		within++
		off = append(off, math.Abs(d))
	}
	tight := 0
	for _, d := range off {
		if d <= 0.001 {
			tight++
		}
	}
	t.Logf("%d of %d repositories carry a usable size; %d within 1 %%, %d within 0.1 %%", checked, all, within, tight)
	if checked < 64 {
		t.Errorf("only %d rows were checked", checked)
	}
}

func repositoryBytes(t *testing.T, id, weights string) int64 {
	t.Helper()
	e, ok, err := catalog.Find(id)
	if err != nil || !ok {
		t.Fatalf("%s is not in the catalogue: %v", id, err)
	}
	m, err := hfconfig.Parse(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := quant.For(m, weights)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := s.Assign(m)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for i := range stored {
		if m.Tensors[i].Group != model.MTP {
			n += stored[i].Bytes
		}
	}
	return n
}
