package main

import (
	"encoding/json"
	"fmt"
	"os"

	"hwledger/internal/docgen"
	"hwledger/tools"
)

func list(e *env, args []string) int {
	f := newFlags(e, "tools")
	asJSON := f.Bool("json", false, "print the tools as tools/list sends them")
	markdown := f.Bool("markdown", false, "print the reference in Markdown")
	update := f.String("update", "", "write the reference between the markers of this `file`")
	options, launch := surfaceFlags(f), launchFlags(f)
	if code, ok := parseFlags(e, f, args); !ok {
		return code
	}
	opts := options()
	opts.AllowLaunch = launch.allow
	s, err := surface(e, opts)
	if err != nil {
		return misuse(e, "%v", err)
	}
	switch {
	case *asJSON:
		err = listJSON(e, s)
	case *markdown:
		_, err = fmt.Fprint(e.stdout, docgen.Markdown(s.Tools()))
	case *update != "":
		err = updateFile(*update, s)
	default:
		for _, t := range s.Tools() {
			fmt.Fprintf(e.stdout, "%-16s %-9s %s\n", t.Name, t.Toolset, t.Title)
		}
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: tools: %v\n", err)
		return exitError
	}
	return exitOK
}

func listJSON(e *env, s *tools.Surface) error {
	defs, err := s.Definitions()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(defs)
	if err != nil {
		return err
	}
	return printJSON(e.stdout, raw)
}

func updateFile(path string, s *tools.Surface) error {
	doc, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err = docgen.Replace(doc, docgen.Markdown(s.Tools()))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, doc, 0o644)
}
