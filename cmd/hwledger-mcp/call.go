package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"hwledger/calc/model"
	"hwledger/internal/schema"
	"hwledger/tools"
)

func call(e *env, args []string) int {
	launch, args, err := leadingFlags(args)
	if err != nil {
		return misuse(e, "call: %v", err)
	}
	if len(args) == 0 {
		return misuse(e, "call needs the name of a tool; hwledger-mcp tools lists them")
	}
	name := args[0]
	var opts tools.Options
	end, err := launch.withSidecars(e, &opts)
	if err != nil {
		return misuse(e, "%v", err)
	}
	defer end()
	s, err := surface(e, opts)
	if err != nil {
		return misuse(e, "%v", err)
	}
	t, err := s.Tool(name)
	if err != nil {
		var why *model.Error
		if errors.As(err, &why) {
			return misuse(e, "%s; %s", why.Message, why.Hint)
		}
		return misuse(e, "%v", err)
	}
	if len(args) > 1 && isHelp(args[1]) {
		fmt.Fprintf(e.stdout, "%s: %s\n", t.Name, t.Description)
		describe(e, t.In)
		return exitOK
	}
	raw, text, err := callArguments(e, t.In, args[1:])
	if err != nil {
		return misuse(e, "call %s: %v", name, err)
	}
	r := s.Call(e.ctx, name, raw)
	if text {
		fmt.Fprint(e.stdout, r.Text)
	} else if err := printJSON(e.stdout, r.Structured); err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
		return exitError
	}
	if r.Failed {
		return exitError
	}
	return exitOK
}

// leadingFlags reads the switches before the tool's name; what follows it are
// the tool's arguments.
func leadingFlags(args []string) (*launching, []string, error) {
	f := flag.NewFlagSet("call", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	launch := launchFlags(f)
	err := f.Parse(args)
	return launch, f.Args(), err
}

// mostInput bounds what is read from stdin.
const mostInput = 64 << 20

// callArguments reads the arguments of call in any of their forms.
func callArguments(e *env, in *schema.Schema, args []string) (raw json.RawMessage, text bool, err error) {
	a := arguments{schema: in, switches: []string{"text", "json"}}
	if err := a.parse(args); err != nil {
		return nil, false, err
	}
	text = a.on["text"]
	switch {
	case len(a.positional) == 0:
		raw, err = a.json()
		return raw, text, err
	case len(a.positional) > 1 || len(a.values) > 0:
		return nil, false, fmt.Errorf("unexpected %q; give one JSON object, or NAME=VALUE arguments, or -", a.positional[0])
	}
	raw = json.RawMessage(a.positional[0])
	if a.positional[0] == "-" {
		if raw, err = io.ReadAll(io.LimitReader(e.stdin, mostInput)); err != nil {
			return nil, false, fmt.Errorf("reading standard input: %w", err)
		}
	}
	if !strings.HasPrefix(string(bytes.TrimSpace(raw)), "{") {
		return nil, false, fmt.Errorf("the arguments are not a JSON object")
	}
	return raw, text, nil
}

func callHelp(e *env) {
	fmt.Fprint(e.stdout, `
Arguments are one JSON object, NAME=VALUE words, or - for JSON from standard
input. The answer's JSON goes to standard output, with --text its text.
Exit codes: 0 ok, 1 tool error (its object is on standard output), 2 usage.

  hwledger-mcp call lookup_hardware name="RTX 4090"
  hwledger-mcp call plan_memory '{"model":"Qwen/Qwen3-8B","hardware":"RTX 4090"}'
  hwledger-mcp call --allow-launch launch_sidecar model=./x.gguf lifetime=detached confirm=true
  hwledger-mcp call TOOL --help describes a tool's arguments.

Before TOOL: --allow-launch offers the tools that launch engines; --model-root
FOLDER and --engine-path NAME=FILE are as in serve.
`)
}

// printJSON prints raw indented.
func printJSON(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
