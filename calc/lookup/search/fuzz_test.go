package search

import (
	"errors"
	"testing"

	"hwledger/calc/model"
)

func FuzzCursor(f *testing.F) {
	s, err := cursor{Query: "q", Near: "n", Hub: true, Page: "cursor=x", Offset: 5}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := decodeCursor(s, "q")
		if err == nil && (c.Offset < 0 || c.Query != "q") {
			t.Errorf("%+v", c)
		}
	})
}

// Whatever is asked, the answer is models that were not refused, or an error
// that says what to do.
func FuzzFilters(f *testing.F) {
	f.Add("qwen3 8b", "apache-2.0", "moe", "vision", "Q4_K_M", int64(0), int64(1e10))
	f.Add("org/", "", "qwen3", "", "mlx-4bit", int64(1), int64(0))
	f.Fuzz(func(t *testing.T, text, license, arch, modality, quant string, least, most int64) {
		q := Query{Text: text, Limit: 3, Offline: true, Filter: Filter{MinParameters: least, MaxParameters: most, License: license, Architecture: arch, Modality: modality, Quantization: quant}}
		a, err := Search(t.Context(), q)
		var e *model.Error
		if err != nil {
			if !errors.As(err, &e) || e.Hint == "" {
				t.Errorf("%v", err)
			}
			return
		}
		for _, m := range a.Models {
			if n := m.ParametersTotal; least > 0 && n < least || most > 0 && n > most {
				t.Errorf("%s has %d parameters", m.Name, n)
			}
		}
	})
}
