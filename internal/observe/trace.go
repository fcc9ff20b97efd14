package observe

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"hwledger/tools"
)

// Traces sends a span for each call to an OpenTelemetry collector.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// NewTraces returns traces that are sent where OpenTelemetry's variables say
// (OTEL_EXPORTER_OTLP_ENDPOINT and its kin), nil when they name no collector
// or OTEL_SDK_DISABLED is true. It fails when they ask for what is not there.
func NewTraces(version string, getenv func(string) string, log *slog.Logger) (*Traces, error) {
	to, err := target(getenv)
	if err != nil || to == nil {
		return nil, err
	}
	name := getenv("OTEL_SERVICE_NAME")
	if name == "" {
		name = "hwledger-mcp"
	}
	about := resource.NewSchemaless(attribute.String("service.name", name), attribute.String("service.version", version))
	to.log = log
	p := sdk.NewTracerProvider(sdk.WithBatcher(to), sdk.WithResource(about))
	return &Traces{provider: p, tracer: p.Tracer("hwledger")}, nil
}

// Close sends what was not sent yet, for as long as ctx allows.
func (t *Traces) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Watch makes one call a span, below the client's own when its message says
// which that is (the keys traceparent and tracestate of _meta).
func (t *Traces) Watch(ctx context.Context, c tools.Call) (context.Context, func(*tools.Result)) {
	carrier := propagation.MapCarrier{}
	for _, key := range []string{"traceparent", "tracestate"} {
		if v, ok := c.Meta[key].(string); ok {
			carrier[key] = v
		}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	ctx, span := t.tracer.Start(ctx, "tools/call "+c.Tool, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("mcp.method.name", "tools/call"), attribute.String("gen_ai.tool.name", c.Tool)))
	return ctx, func(r *tools.Result) {
		if r.Failed {
			span.SetAttributes(attribute.String("error.type", string(r.Code)))
			span.SetStatus(codes.Error, string(r.Code))
		}
		span.End()
	}
}
