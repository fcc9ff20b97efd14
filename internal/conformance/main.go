// Command conformance serves the fixtures that the official MCP conformance
// suite asks for, on the transports and with the middlewares of hwledger-mcp:
// what the suite finds there is true of the real server. It is run by
// .ci/conformance and is no part of a release.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"hwledger/internal/stdio"
	"hwledger/internal/web"
)

func main() {
	listen := flag.String("listen", "", "address to serve Streamable HTTP on; standard input and output without one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen); err != nil {
		fmt.Fprintf(os.Stderr, "conformance: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string) error {
	srv := newServer()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if listen == "" {
		return stdio.Serve(ctx, srv, os.Stdin, os.Stdout, stdio.Options{Log: log})
	}
	s, err := web.Listen(srv, web.Options{Listen: listen, HTTP: true, Log: log})
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}
