package enginelog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"hwledger/calc/engine"
)

// excerpt is lines of a log that somebody published, and what they say.
// Figures are in GiB; actual is by name and buffer.
type excerpt struct {
	Name, Source string
	Log          []string
	Want         struct {
		Engine, Version, Model, Cause, Device string
		Context                               int64   `json:"context_tokens"`
		Sequences                             int64   `json:"sequences"`
		TensorParallel                        int64   `json:"tensor_parallel"`
		Utilization                           float64 `json:"utilization"`
		DeviceGiB                             float64 `json:"device_gib"`
		FreeGiB                               float64 `json:"free_gib"`
		Capacity                              int64   `json:"capacity_tokens"`
		Concurrency                           float64
		Started                               bool
		Actual                                map[string]float64
		Failure                               *struct {
			Kind, Stage string
			Host        bool
			Short       float64 `json:"short_gib"`
			Fits        int64
			Line        int
		}
	}
}

func excerpts(tb testing.TB) []excerpt {
	tb.Helper()
	raw, err := os.ReadFile("testdata/excerpts.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	var out []excerpt
	for s := bufio.NewScanner(bytes.NewReader(raw)); s.Scan(); {
		var e excerpt
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			tb.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// What users' logs printed is what is read of them, whatever their lines end
// with and however they are coloured.
func TestExcerpts(t *testing.T) {
	for _, e := range excerpts(t) {
		t.Run(e.Name, func(t *testing.T) {
			for _, log := range []string{
				strings.Join(e.Log, "\n"), strings.Join(e.Log, "\r\n") + "\r\n", "\x1b[32m" + strings.Join(e.Log, "\x1b[0m\n\x1b[32m") + "\x1b[0m",
			} {
				e.check(t, parse(t, log))
			}
		})
	}
}

func (e *excerpt) check(t *testing.T, r *Report) {
	t.Helper()
	w := &e.Want
	if r.Engine != w.Engine || w.Version != "" && r.Version != w.Version || w.Model != "" && r.Model != w.Model || r.Started != w.Started {
		t.Errorf("%s %q of %q, started %v", r.Engine, r.Version, r.Model, r.Started)
	}
	if w.Device != "" && (len(r.Devices) != 1 || r.Devices[0].Name != w.Device) {
		t.Errorf("devices %v", r.Devices)
	}
	for _, n := range []struct {
		name      string
		got, want float64
	}{
		{"context", float64(r.ContextTokens), float64(w.Context)}, {"sequences", float64(r.Sequences), float64(w.Sequences)},
		{"tensor parallel", float64(r.TensorParallel), float64(w.TensorParallel)}, {"capacity", float64(r.CapacityTokens), float64(w.Capacity)},
		{"concurrency", r.Concurrency, w.Concurrency},
	} {
		if n.want != 0 && n.got != n.want {
			t.Errorf("%s %g, the log says %g", n.name, n.got, n.want)
		}
	}
	if w.Utilization > 0 && r.Utilization != w.Utilization || w.DeviceGiB > 0 && !near(r.DeviceBytes, w.DeviceGiB) || w.FreeGiB > 0 && !near(r.FreeBytes, w.FreeGiB) {
		t.Errorf("%g of %s, %s free", r.Utilization, r.DeviceBytes, r.FreeBytes)
	}
	got := map[string]engine.Bytes{}
	for _, a := range r.Actual {
		if a.Bytes > 0 {
			got[strings.TrimSpace(a.Name+" "+a.On)] = a.Bytes
		}
	}
	for name, gib := range w.Actual {
		if !near(got[name], gib) {
			t.Errorf("%s %s, the log says %.2f GiB", name, got[name], gib)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("the log does not have %v", got)
	}
	e.checkFailure(t, r)
}

func (e *excerpt) checkFailure(t *testing.T, r *Report) {
	t.Helper()
	w, f := e.Want.Failure, r.Failure
	if w == nil || f == nil {
		if w != nil || f != nil {
			t.Errorf("failure %+v", f)
		}
		return
	}
	if f.Kind != w.Kind || f.Stage != w.Stage || f.Host != w.Host || f.Fits != w.Fits || f.Line != w.Line ||
		math.Abs(float64(f.Short)/float64(engine.GiB)-w.Short) > 1e-6 || !strings.Contains(f.Cause, e.Want.Cause) {
		t.Errorf("failure %+v", f)
	}
	if r.Remedy() == "" {
		t.Errorf("no remedy for %+v", f)
	}
}
