// Command hwledger-mcp says whether a model fits on hardware: as an MCP
// server for agents, and on the command line for people and scripts.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"hwledger/calc/near"
	"hwledger/tools"
)

// Exit codes. Scripts depend on them.
const (
	exitOK      = 0
	exitError   = 1 // a tool error, or the server failed
	exitUsage   = 2
	exitNotFits = 3 // plan --fail-unless-fits
)

// env is what a command may touch of the process.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// terminal reports that stdout is one.
	terminal bool
	// ledger is this user's, opened when it is first needed.
	ledger *ledgerHome
}

// command is one subcommand.
type command struct {
	name, args, short string
	run               func(e *env, args []string) int
	help              func(e *env)
}

// commands are all subcommands: a new one is one line here.
func commands() []command {
	return []command{
		{"serve", "[--transport stdio,http,sse] [--listen ADDRESS] [--toolsets LIST] [--read-only] [--allow-launch]", "run the MCP server", serve, nil},
		{"plan", "MODEL [--NAME VALUE | NAME=VALUE]…", "say whether a model fits", plan, planHelp},
		{"call", "[--allow-launch] TOOL [JSON | NAME=VALUE… | -]", "call a tool and print its answer as JSON", call, callHelp},
		{"tools", "[--json | --markdown | --update FILE]", "list the tools", list, nil},
		{"probe", "[--json] [--full] [--sample-seconds N]", "say what hardware this machine has", probeHardware, nil},
		{"doctor", "", "say what is missing on this machine and how to mend it", doctor, nil},
		{"ledger", "verify|export|query|checkpoint|prove|check|key|backup|import|erase [--NAME VALUE]…", "check, read and copy the ledger", ledgerCommand, ledgerHelp},
		{"completion", "bash | zsh | fish | powershell", "print a script that completes this program's words", completion, nil},
		{"version", "", "print the version", printVersion, nil},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(&env{
		ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, terminal: isTerminal(os.Stdout),
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run finds the command that args name, and runs it.
func run(e *env, args []string) (code int) {
	e.ledger = &ledgerHome{getenv: e.getenv}
	defer func() { code = closeLedger(e, code) }()
	if len(args) == 0 {
		usage(e.stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(e, rest)
	case "-v", "-version", "--version":
		name = "version"
	}
	names := make([]string, 0, len(commands()))
	for _, c := range commands() {
		if c.name == name {
			if len(rest) > 0 && isHelp(rest[0]) {
				return help(e, []string{name})
			}
			return c.run(e, rest)
		}
		names = append(names, c.name)
	}
	if similar := near.Names(name, names, 1); len(similar) > 0 {
		return misuse(e, "there is no command %q; did you mean %q?", name, similar[0])
	}
	return misuse(e, "there is no command %q; there are %s", name, strings.Join(names, ", "))
}

func isHelp(s string) bool { return s == "-h" || s == "-help" || s == "--help" }

func usage(w io.Writer) {
	fmt.Fprint(w, "hwledger-mcp: will this model fit on this hardware, under this engine, with this load?\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, "  help       describe a command: help COMMAND\n")
}

func help(e *env, args []string) int {
	if len(args) == 0 {
		usage(e.stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			fmt.Fprintf(e.stdout, "Usage: %s\n%s.\n", strings.TrimSpace("hwledger-mcp "+c.name+" "+c.args), strings.ToUpper(c.short[:1])+c.short[1:])
			if c.help != nil {
				c.help(e)
			} else {
				c.run(e, []string{"-h"})
			}
			return exitOK
		}
	}
	return misuse(e, "there is no command %q", args[0])
}

// misuse reports a mistake in the command line.
func misuse(e *env, format string, args ...any) int {
	fmt.Fprintf(e.stderr, "hwledger-mcp: "+format+"\n", args...)
	return exitUsage
}

// surface returns the tools for a command line.
func surface(e *env, opts tools.Options) (*tools.Surface, error) {
	opts.Version = version()
	opts.Offline = opts.Offline || truthy(e.getenv("HF_HUB_OFFLINE"))
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	e.ledger.readOnly, e.ledger.log = opts.ReadOnly, opts.Log
	opts.Ledger, opts.HasLedger = e.ledger.tool, e.ledger.there
	return tools.New(opts)
}

// truthy reads a switch in the environment as the Hugging Face libraries do.
func truthy(v string) bool {
	switch strings.ToUpper(v) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}
