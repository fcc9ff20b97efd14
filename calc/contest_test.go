package calc_test

import (
	"testing"

	"hwledger/calc"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

var eight = []string{"auto", "fp8", "Q8_0", "Q6_K", "Q5_K_M", "awq", "Q4_K_M", "Q3_K_M"}

func contenders(t testing.TB) []calc.Contender {
	t.Helper()
	var out []calc.Contender
	err := catalog.All(func(e *catalog.Entry) bool {
		out = append(out, calc.Contender{Ref: e.ID, Params: e.Params, Load: func() (*model.Model, error) { return hfconfig.Parse(e.Config) }})
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestContest judges the catalogue on one card: what is chosen fits with no
// scheme of more bits fitting, what is refused for memory fits with none, and
// the order is that of parameters.
func TestContest(t *testing.T) {
	req := calc.Request{Hardware: devices(t, "RTX 4090")}
	req.Load.ContextTokens = 8192
	all := contenders(t)
	options, skipped := calc.Contest{Request: req, Schemes: eight, Wanted: 10}.Run(all)
	models := map[string]calc.Contender{}
	for _, c := range all {
		models[c.Ref] = c
	}
	fits := func(ref, weights string) bool {
		m, err := models[ref].Load()
		if err != nil {
			t.Fatal(err)
		}
		q := req
		q.Model = m
		return calc.Try(q, calc.Change{Apply: func(r *calc.Request) { r.Load.Weights = weights }}, calc.Safely).Fits
	}
	found, last := 0, int64(1)<<62
	for _, o := range options {
		ref, _ := o.Arguments["model"].(string)
		switch chosen, _ := o.Arguments["weights"].(string); {
		case o.Fits:
			found++
			for _, w := range eight {
				if w == chosen {
					break
				}
				if m, _ := models[ref].Load(); m.Quant == nil && fits(ref, w) {
					t.Errorf("%s: %s fits too, %s was chosen", ref, w, chosen)
				}
			}
			if !fits(ref, chosen) {
				t.Errorf("%s %s does not fit", ref, chosen)
			}
			if found <= 10 && o.Parameters > last {
				t.Errorf("%s has more parameters than the one before it", ref)
			}
			last = o.Parameters
		case o.Binding.Kind == "memory":
			for _, w := range eight {
				if fits(ref, w) {
					t.Errorf("%s fits with %s and was refused: %s", ref, w, o.Reason)
				}
			}
		case o.Reason == "":
			t.Errorf("%s is refused without a reason", ref)
		}
	}
	if found < 10 || len(options)+skipped != len(all) {
		t.Errorf("%d found; %d judged and %d passed over of %d", found, len(options), skipped, len(all))
	}
}

// BenchmarkContest finds the best models of the whole catalogue in eight
// schemes for one machine.
func BenchmarkContest(b *testing.B) {
	for _, hw := range []string{"RTX 4090", "8x H200", "M3 Max 64GB"} {
		b.Run(hw, func(b *testing.B) {
			req := calc.Request{Hardware: devices(b, hw)}
			req.Load.ContextTokens = 8192
			for b.Loop() {
				options, _ := calc.Contest{Request: req, Schemes: eight, Wanted: 5}.Run(contenders(b))
				if len(options) == 0 || !options[0].Fits {
					b.Fatal("nothing found")
				}
			}
		})
	}
}

// A fault in one contender reaches whoever asked, who can say so and live on.
func TestContestPanics(t *testing.T) {
	defer func() {
		if p := recover(); p != "broken" {
			t.Errorf("%v", p)
		}
	}()
	broken := calc.Contender{Ref: "x", Load: func() (*model.Model, error) { panic("broken") }}
	calc.Contest{Request: calc.Request{Hardware: devices(t, "RTX 4090")}, Wanted: 1}.Run([]calc.Contender{broken, broken, broken})
}
