package calc

import (
	"testing"

	"hwledger/calc/hardware"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model/hfconfig"
)

// TestLeastWeights: what a contest passes a scheme over by is not above what
// any engine plans for the model's weights.
func TestLeastWeights(t *testing.T) {
	hw, err := hardware.Parse("RTX 4090")
	if err != nil {
		t.Fatal(err)
	}
	n, held := 0, 0
	err = catalog.All(func(e *catalog.Entry) bool {
		if n++; n%8 != 0 {
			return true
		}
		m, err := hfconfig.Parse(e.Config)
		if err != nil {
			t.Fatal(e.ID, err)
		}
		stored := storedBits(m)
		for _, engine := range Engines() {
			names := []string{"auto", "fp8", "Q8_0", "Q6_K", "Q5_K_M", "awq", "Q4_K_M", "Q3_K_M", "mxfp4"}
			if own, _ := Alternatives(engine, m); len(own) > 0 {
				names = append(names, own[:len(own)-1]...) // the smallest is planned in any case
			}
			for _, s := range schemesOf(names) {
				if s.bits > stored {
					continue
				}
				req := Request{Model: m, Engine: engine, Hardware: hw}
				req.Load.Weights = s.name
				r, err := Size(req)
				if err != nil {
					continue // refused, whatever its size
				}
				got := r.Totals.Weights
				if least := leastWeights(req, s.least(stored)); got < least {
					t.Errorf("%s %s %s: %d bytes of weights, at least %d were said", e.ID, engine, s.name, got, least)
				} else if least > got/2 {
					held++
				}
			}
		}
		return true
	})
	if err != nil || held < 1000 {
		t.Errorf("%d sizes were near their bound, %v", held, err)
	}
}

// Weights that a load leaves on the host say nothing of devices.
func TestLeastWeightsOnTheHost(t *testing.T) {
	e, ok, err := catalog.Find("Qwen/Qwen3-30B-A3B")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	m, err := hfconfig.Parse(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	req := Request{Model: m}
	if leastWeights(req, 16) < 40*1e9 {
		t.Errorf("%d bytes of weights", leastWeights(req, 16))
	}
	req.Load.CPUMoELayers = 48
	if n := leastWeights(req, 16); n != 0 {
		t.Errorf("%d bytes, with the experts on the host", n)
	}
}
