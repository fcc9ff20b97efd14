package tools

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// plural returns "1 match" or "3 matches".
func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + more
}

// number writes n with separators: 40,960.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// count writes a number of parameters: "8.19 B".
func count(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.2f T", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.2f B", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return number(n)
}

// layerKinds counts a model's decoder layers by the kind of their mixer.
func layerKinds(m *model.Model) map[string]int {
	out := map[string]int{}
	for i := range m.Layers {
		out[string(m.Layers[i].Kind())]++
	}
	return out
}

// kindsText lists layer kinds in the order in which they first appear.
func kindsText(m *model.Model) string {
	kinds := layerKinds(m)
	var parts []string
	for i := range m.Layers {
		k := string(m.Layers[i].Kind())
		if n := kinds[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
			kinds[k] = 0
		}
	}
	return strings.Join(parts, " + ")
}

// feedForward describes a layer's feed-forward network: "dense 12288",
// "8 of 128 experts × 768".
func feedForward(f model.FFN) string {
	var parts []string
	if f.Width > 0 {
		parts = append(parts, fmt.Sprintf("dense %d", f.Width))
	}
	if f.MoE() {
		parts = append(parts, fmt.Sprintf("%d of %d experts × %d", f.TopK, f.Experts, f.ExpertWidth))
	}
	if f.SharedWidth > 0 {
		parts = append(parts, fmt.Sprintf("shared %d", f.SharedWidth))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " + ")
}

// rename gives an error about one argument the name that the tool has for it.
func rename(err error, from, to string) error {
	var e *model.Error
	if !errors.As(err, &e) || e.Field != from {
		return err
	}
	c := *e
	c.Field = to
	return &c
}
