// Package observe tells operators of the calls that a server answers: as
// metrics to scrape, and as traces.
package observe

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"hwledger/tools"
)

// durations are the bounds of the histogram in seconds: a plan from the
// catalogue takes a millisecond, a model of the Hub seconds.
var durations = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// Metrics counts calls, for Prometheus.
type Metrics struct {
	set     *metrics.Set
	running *metrics.Counter
}

// NewMetrics returns metrics of a server of this version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{set: metrics.NewSet()}
	m.running = m.set.NewCounter("hwledger_tool_calls_running")
	m.set.NewGauge(fmt.Sprintf("hwledger_build_info{version=%q}", version), func() float64 { return 1 })
	return m
}

// Watch counts one call. Its tool is one of the surface's, so that there are
// as many series as tools and codes of errors.
func (m *Metrics) Watch(ctx context.Context, c tools.Call) (context.Context, func(*tools.Result)) {
	start := time.Now()
	m.running.Inc()
	return ctx, func(r *tools.Result) {
		m.running.Dec()
		outcome := "ok"
		if r.Failed {
			outcome = string(r.Code)
		}
		m.set.GetOrCreateCounter(fmt.Sprintf("hwledger_tool_calls_total{tool=%q,outcome=%q}", c.Tool, outcome)).Inc()
		m.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("hwledger_tool_duration_seconds{tool=%q}", c.Tool), durations).UpdateDuration(start)
	}
}

// ServeHTTP writes the metrics, and those of the process, in Prometheus' text
// format.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
