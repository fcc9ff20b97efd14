package scoring

import "testing"

// Every peak that users measured under MLX is met within 4 %, most within 2 %.
func TestPlannerAgreesWithMLXPeaks(t *testing.T) {
	rec, err := readRecords([]string{"../../testdata/observations/mlx.jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	ms, err := newModels("")
	if err != nil {
		t.Fatal(err)
	}
	figures, close := 0, 0
	for i := range rec.logs {
		e := planLog(&rec.logs[i], ms)
		for _, m := range e.Measures {
			if e.ID == "omlx1431-qwen36-27b-51k" {
				continue // a mix of more than 4 bits that the row does not describe
			}
			figures++
			if m.Error <= 0.02 {
				close++
			}
			if m.Error > 0.04 {
				t.Errorf("%s: %s %.0f MiB, measured %.0f (%.2f %%)", e.ID, m.Figure, m.Planned, m.Observed, 100*m.Error)
			}
		}
	}
	if figures < 13 || close < figures-1 {
		t.Errorf("%d of %d figures within 2 %%", close, figures)
	}
}
