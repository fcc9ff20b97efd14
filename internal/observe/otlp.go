package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// exporter sends spans by OTLP over HTTP in its JSON encoding
// (opentelemetry-proto, trace/v1; ids in hexadecimal, 64-bit numbers as
// strings). The SDK's own exporter would make the program 7 MB larger.
type exporter struct {
	url     string
	headers map[string]string
	client  *http.Client
	log     *slog.Logger
}

// target reads OpenTelemetry's variables; nil when there is no collector.
func target(getenv func(string) string) (*exporter, error) {
	first := func(name string) string {
		if v := getenv("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return getenv("OTEL_EXPORTER_OTLP_" + name)
	}
	at := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if base := getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); at == "" && base != "" {
		at = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if at == "" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https address")
	}
	if p := first("PROTOCOL"); p != "" && p != "http/json" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q is not supported: traces are sent as http/json, which collectors take at port 4318", p)
	}
	e := &exporter{url: u.String(), headers: map[string]string{}, client: &http.Client{Timeout: 10 * time.Second}}
	for _, pair := range strings.Split(first("HEADERS"), ",") {
		k, v, ok := strings.Cut(pair, "=")
		if plain, err := url.PathUnescape(strings.TrimSpace(v)); ok && err == nil {
			e.headers[strings.TrimSpace(k)] = plain
		}
	}
	if ms, err := strconv.Atoi(first("TIMEOUT")); err == nil && ms > 0 {
		e.client.Timeout = time.Duration(ms) * time.Millisecond
	}
	return e, nil
}

// The shapes of OTLP.
type (
	exportRequest struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   attributed   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	attributed struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []span `json:"spans"`
	}
	span struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		State      string     `json:"traceState,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      int64      `json:"startTimeUnixNano,string"`
		End        int64      `json:"endTimeUnixNano,string"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Status     status     `json:"status"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string `json:"key"`
		Value struct {
			String string `json:"stringValue"`
		} `json:"value"`
	}
)

func keyValues(as []attribute.KeyValue) []keyValue {
	out := make([]keyValue, len(as))
	for i, a := range as {
		out[i].Key, out[i].Value.String = string(a.Key), a.Value.String()
	}
	return out
}

// ExportSpans sends spans. What cannot be sent is said in the log and lost.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	var scope scopeSpans
	scope.Scope.Name = spans[0].InstrumentationScope().Name
	for _, s := range spans {
		c := s.SpanContext()
		out := span{
			TraceID: c.TraceID().String(), SpanID: c.SpanID().String(), State: c.TraceState().String(), Name: s.Name(), Kind: int(s.SpanKind()),
			Start: s.StartTime().UnixNano(), End: s.EndTime().UnixNano(), Attributes: keyValues(s.Attributes()),
		}
		if s.Parent().SpanID().IsValid() {
			out.ParentID = s.Parent().SpanID().String()
		}
		if s.Status().Code == codes.Error {
			out.Status = status{Code: 2, Message: s.Status().Description} // STATUS_CODE_ERROR
		}
		scope.Spans = append(scope.Spans, out)
	}
	body, err := json.Marshal(exportRequest{[]resourceSpans{{Resource: attributed{keyValues(spans[0].Resource().Attributes())}, ScopeSpans: []scopeSpans{scope}}}})
	if err != nil {
		return err
	}
	if err := e.post(ctx, body); err != nil {
		e.log.Warn("traces were not sent", "spans", len(spans), "error", err)
	}
	return nil
}

func (e *exporter) post(ctx context.Context, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for k, v := range e.headers {
		r.Header.Set(k, v)
	}
	resp, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %s", resp.Status)
	}
	return nil
}

// Shutdown ends nothing: there is no connection to keep.
func (e *exporter) Shutdown(context.Context) error { return nil }
