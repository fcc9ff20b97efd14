package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/observe"
	"hwledger/internal/stdio"
	"hwledger/tools"
)

// surfaceFlags are the flags that choose tools.
func surfaceFlags(f *flag.FlagSet) func() tools.Options {
	sets := f.String("toolsets", "", "offer only these toolsets, comma separated: model, plan, hardware, sidecar, ledger")
	readOnly := f.Bool("read-only", false, "leave out tools that change anything")
	offline := f.Bool("offline", false, "never use the network")
	return func() tools.Options {
		opts := tools.Options{ReadOnly: *readOnly, Offline: *offline}
		for _, s := range strings.Split(*sets, ",") {
			if s = strings.TrimSpace(s); s != "" {
				opts.Toolsets = append(opts.Toolsets, s)
			}
		}
		return opts
	}
}

// newFlags returns an empty flag set that prints its errors in one line.
func newFlags(e *env, name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(e.stderr)
	f.Usage = func() {
		f.SetOutput(e.stdout)
		f.PrintDefaults()
	}
	return f
}

// parseFlags parses args and reports whether the command should go on; else
// with which code it should end.
func parseFlags(e *env, f *flag.FlagSet, args []string) (code int, ok bool) {
	usage := f.Usage
	f.Usage = func() {}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		usage()
		return exitOK, false
	case err != nil:
		return exitUsage, false
	case f.NArg() > 0:
		return misuse(e, "%s: unexpected argument %q", f.Name(), f.Arg(0)), false
	}
	return exitOK, true
}

func serve(e *env, args []string) int {
	f := newFlags(e, "serve")
	transport := f.String("transport", "stdio", "how clients connect: stdio, or http, sse or both, comma separated")
	level := f.String("log-level", "info", "least level of log messages on stderr: debug, info, warn, error")
	format := f.String("log-format", "text", "form of log messages: text or json")
	network := webFlags(f)
	options, launch := surfaceFlags(f), launchFlags(f)
	if code, ok := parseFlags(e, f, args); !ok {
		return code
	}
	var least slog.Level
	if err := least.UnmarshalText([]byte(*level)); err != nil {
		return misuse(e, "there is no log level %q; there are debug, info, warn, error", *level)
	}
	log, ok := newLog(e, *format, least)
	if !ok {
		return misuse(e, "there is no log format %q; there are text and json", *format)
	}
	opts := options()
	opts.Log = log
	opts.Watchers = append(opts.Watchers, logCalls(log))
	traces, err := observe.NewTraces(version(), e.getenv, log)
	if err != nil {
		return misuse(e, "%v", err)
	}
	if traces != nil {
		opts.Watchers = append(opts.Watchers, traces.Watch)
		defer closeTraces(traces, log)
	}
	if *network.metrics && *transport == "stdio" {
		return misuse(e, "--metrics needs a transport that listens: http or sse")
	}
	end, err := launch.withSidecars(e, &opts)
	if err != nil {
		return misuse(e, "%v", err)
	}
	defer end()
	switch *transport {
	case "stdio":
		return serveStdio(e, opts)
	case "http", "sse", "http,sse", "sse,http":
		return serveWeb(e, opts, network, *transport)
	}
	return misuse(e, "there is no transport %q; there are stdio, http, sse and http,sse", *transport)
}

// logCalls says of every call how it ended and how long it took.
func logCalls(log *slog.Logger) tools.Watcher {
	return func(ctx context.Context, c tools.Call) (context.Context, func(*tools.Result)) {
		start := time.Now()
		return ctx, func(r *tools.Result) {
			log.LogAttrs(ctx, slog.LevelDebug, "call", slog.String("tool", c.Tool), slog.String("error", string(r.Code)), slog.Duration("took", time.Since(start)))
		}
	}
}

// closeTraces sends the last spans; a collector that is gone does not hold up
// the end for long.
func closeTraces(t *observe.Traces, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("the last traces were not sent", "error", err)
	}
}

// newLog returns the log on stderr; standard output may belong to the
// protocol.
func newLog(e *env, format string, least slog.Level) (*slog.Logger, bool) {
	o := &slog.HandlerOptions{Level: least}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(e.stderr, o)), true
	case "json":
		return slog.New(slog.NewJSONHandler(e.stderr, o)), true
	}
	return nil, false
}

// mcpServer returns the server of the tools that opts choose, or the code to
// end with.
func mcpServer(e *env, opts tools.Options) (*server.MCPServer, int) {
	s, err := surface(e, opts)
	if err != nil {
		return nil, misuse(e, "%v", err)
	}
	srv, err := s.Server()
	if err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
		return nil, exitError
	}
	return srv, exitOK
}

func serveStdio(e *env, opts tools.Options) int {
	srv, code := mcpServer(e, opts)
	if srv == nil {
		return code
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // it is one of many that an assistant keeps running, and mostly idle
	}
	if e.terminal {
		opts.Log.Info("waiting for an MCP client on standard input; hwledger-mcp help lists the other commands")
	}
	err := stdio.Serve(e.ctx, srv, e.stdin, e.stdout, stdio.Options{Log: opts.Log})
	if err != nil && !errors.Is(err, context.Canceled) {
		opts.Log.Error("the connection ended", "error", err)
		return exitError
	}
	return exitOK
}
