package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"

	"hwledger/internal/stdio"
	"hwledger/tools"
)

// surfaceFlags are the flags that choose tools.
func surfaceFlags(f *flag.FlagSet) func() tools.Options {
	sets := f.String("toolsets", "", "offer only these toolsets, comma separated: model, plan, hardware")
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
	transport := f.String("transport", "stdio", "how clients connect; stdio is the only one so far")
	level := f.String("log-level", "info", "least level of log messages on stderr: debug, info, warn, error")
	options := surfaceFlags(f)
	if code, ok := parseFlags(e, f, args); !ok {
		return code
	}
	if *transport != "stdio" {
		return misuse(e, "transport %q is not offered by this version; use --transport stdio", *transport)
	}
	var least slog.Level
	if err := least.UnmarshalText([]byte(*level)); err != nil {
		return misuse(e, "there is no log level %q; there are debug, info, warn, error", *level)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: least}))
	opts := options()
	opts.Log = log
	s, err := surface(e, opts)
	if err != nil {
		return misuse(e, "%v", err)
	}
	srv, err := s.Server()
	if err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
		return exitError
	}
	if e.terminal {
		log.Info("waiting for an MCP client on standard input; hwledger-mcp help lists the other commands")
	}
	err = stdio.Serve(e.ctx, srv, e.stdin, e.stdout, stdio.Options{Log: log})
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Error("the connection ended", "error", err)
		return exitError
	}
	return exitOK
}
