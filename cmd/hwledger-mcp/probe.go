package main

import (
	"encoding/json"
	"fmt"

	"hwledger/tools"
)

const probeTool = "probe_hardware"

// probeHardware prints what this machine has.
func probeHardware(e *env, args []string) int {
	f := newFlags(e, "probe")
	asJSON := f.Bool("json", false, "print the answer's JSON object")
	full := f.Bool("full", false, "say of every field where it was read")
	seconds := f.Int("sample-seconds", 0, "watch that many seconds, at most 60")
	if code, ok := parseFlags(e, f, args); !ok {
		return code
	}
	s, err := surface(e, tools.Options{})
	if err != nil {
		return misuse(e, "%v", err)
	}
	query := map[string]any{"sample_seconds": *seconds}
	if *full {
		query["detail"] = "full"
	}
	raw, err := json.Marshal(query)
	if err != nil {
		return misuse(e, "%v", err)
	}
	r := s.Call(e.ctx, probeTool, raw)
	switch {
	case *asJSON:
		if err := printJSON(e.stdout, r.Structured); err != nil {
			fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
			return exitError
		}
	case r.Failed:
		fmt.Fprint(e.stderr, r.Text)
	default:
		fmt.Fprint(e.stdout, r.Text)
	}
	if r.Failed {
		return exitError
	}
	return exitOK
}
