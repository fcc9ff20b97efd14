package observe

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"hwledger/tools"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// call lets a server of the surface answer a call that fails and one that does
// not, both below parent's span.
func call(t *testing.T, w tools.Watcher) {
	t.Helper()
	s, err := tools.New(tools.Options{Watchers: []tools.Watcher{w}})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := s.Server()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{`{"name":"RTX 4090"}`, `{"name":"RTX 4099"}`} {
		srv.HandleMessage(t.Context(), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_hardware","arguments":`+args+
			`,"_meta":{"traceparent":"`+parent+`","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`))
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics(`1"2`)
	call(t, m.Watch)
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	for _, line := range []string{
		`hwledger_build_info{version="1\"2"} 1`,
		`hwledger_tool_calls_total{tool="lookup_hardware",outcome="ok"} 1`,
		`hwledger_tool_calls_total{tool="lookup_hardware",outcome="hardware_not_found"} 1`,
		`hwledger_tool_duration_seconds_count{tool="lookup_hardware"} 2`,
		`hwledger_tool_duration_seconds_bucket{tool="lookup_hardware",le="+Inf"} 2`,
		`hwledger_tool_calls_running 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not in\n%.2000s", line, text)
		}
	}
	// The text format: a name, labels and a number, or a comment.
	form := regexp.MustCompile(`^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",? ?)*\})? \S+)$`)
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if !form.MatchString(line) {
			t.Errorf("no line of the format: %s", line)
		}
	}
	if !strings.Contains(text, "go_goroutines") {
		t.Error("nothing of the process")
	}
}

// A collector gets what OTLP's JSON encoding says.
func TestTraces(t *testing.T) {
	got := make(chan *http.Request, 1)
	body := make(chan []byte, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- r
		body <- b
	}))
	defer collector.Close()
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL + "/", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b,x=y"}
	traces, err := NewTraces("1", func(k string) string { return env[k] }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	call(t, traces.Watch)
	if err := traces.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Api-Key") != "a b" || r.Header.Get("X") != "y" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	var sent struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []map[string]any }
			ScopeSpans []struct {
				Spans []struct {
					TraceID, SpanID, ParentSpanID, Name string
					StartTimeUnixNano, EndTimeUnixNano  string
					Kind                                int
					Status                              struct{ Code int }
				}
			}
		}
	}
	if err := json.Unmarshal(<-body, &sent); err != nil {
		t.Fatal(err)
	}
	spans := sent.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, s := range spans {
		if s.TraceID != "0af7651916cd43dd8448eb211c80319c" || s.ParentSpanID != "b7ad6b7169203331" || len(s.SpanID) != 16 || s.Kind != 2 || s.Name != "tools/call lookup_hardware" {
			t.Errorf("%+v", s)
		}
		if s.Status.Code != 2*i || s.StartTimeUnixNano == "" || s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("%+v", s)
		}
	}
}

// Traces are sent only when they are asked for, and as asked.
func TestTarget(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		url  string
		fail bool
	}{
		{map[string]string{}, "", false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces", false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://d/x"}, "https://d/x", false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, "", false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, "", false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "", true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}, "", true},
	} {
		e, err := target(func(k string) string { return c.env[k] })
		if (err != nil) != c.fail || (e != nil) != (c.url != "") || e != nil && e.url != c.url {
			t.Errorf("%v: %+v, %v", c.env, e, err)
		}
	}
}

// A collector that is away costs nobody their answer, and is said once a batch.
func TestCollectorAway(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	defer away.Close()
	var log strings.Builder
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": away.URL}
	traces, err := NewTraces("1", func(k string) string { return env[k] }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	call(t, traces.Watch)
	if err := traces.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if strings.Count(log.String(), "404 Not Found") != 1 {
		t.Errorf("log: %s", log.String())
	}
}
