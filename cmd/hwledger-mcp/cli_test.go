package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// try runs a command line in this process.
func try(t *testing.T, stdin string, vars map[string]string, terminal bool, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(&env{
		ctx: t.Context(), stdin: strings.NewReader(stdin), stdout: &out, stderr: &err,
		getenv: func(k string) string { return vars[k] }, terminal: terminal,
	}, args)
	return code, out.String(), err.String()
}

func TestCommandLine(t *testing.T) {
	const model = "Qwen/Qwen3-8B"
	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout string // contained
		stderr string // contained; empty: nothing at all
	}{
		{"no command", nil, "", 2, "", "Commands:"},
		{"help", []string{"help"}, "", 0, "Commands:", ""},
		{"help of a command", []string{"help", "call"}, "", 0, "Exit codes", ""},
		{"-h of a command", []string{"plan", "-h"}, "", 0, "context-tokens", ""},
		{"help of a flag command", []string{"serve", "--help"}, "", 0, "-read-only", ""},
		{"help of nothing", []string{"help", "x"}, "", 2, "", `no command "x"`},
		{"unknown command", []string{"plann"}, "", 2, "", `did you mean "plan"`},
		{"version", []string{"--version"}, "", 0, "hwledger-mcp ", ""},
		{"tools", []string{"tools"}, "", 0, "plan_memory", ""},
		{"tools in JSON", []string{"tools", "--json"}, "", 0, `"outputSchema"`, ""},
		{"tools in Markdown", []string{"tools", "--markdown"}, "", 0, "### `plan_memory`", ""},
		{"some tools", []string{"tools", "--toolsets", "model"}, "", 0, "lookup_model", ""},
		{"unknown toolset", []string{"tools", "--toolsets", "modal"}, "", 2, "", "there are model, plan, hardware"},
		{"unknown flag", []string{"tools", "--jsn"}, "", 2, "", "jsn"},
		{"stray word", []string{"tools", "x"}, "", 2, "", `unexpected argument "x"`},
		{"unknown transport", []string{"serve", "--transport", "carrier-pigeon"}, "", 2, "", "there are stdio, http, sse"},
		{"tokens without a file", []string{"serve", "--transport", "http", "--token-file", "/nowhere"}, "", 2, "", "reading the tokens"},
		{"half a certificate", []string{"serve", "--transport", "http", "--tls-cert", "x"}, "", 2, "", "go together"},
		{"log level", []string{"serve", "--log-level", "loud"}, "", 2, "", "debug, info, warn, error"},

		{"plan", []string{"plan", model, "--hardware", "H100", "--context-tokens=4096"}, "", 0, "FITS. Needs", ""},
		{"plan in words", []string{"plan", model, "hardware=H100", "context_tokens=4096"}, "", 0, "4,096 tokens", ""},
		{"plan with a switch", []string{"plan", model, "--expert-parallel", "--hardware", "H100"}, "", 0, "FITS", ""},
		{"plan with bytes", []string{"plan", model, "--hardware", `{"memory_bytes":80000000000}`}, "", 0, "FITS", ""},
		{"plan in JSON", []string{"plan", "--json", model}, "", 0, `"verdict": "unknown"`, ""},
		{"gate that holds", []string{"plan", model, "hardware=H100", "--fail-unless-fits"}, "", 0, "FITS", ""},
		{"gate that fails", []string{"plan", model, "hardware=4GB", "--fail-unless-fits"}, "", 3, "DOES NOT FIT", ""},
		{"gate without hardware", []string{"plan", model, "--fail-unless-fits"}, "", 3, "SIZE ONLY", ""},
		{"plan of nothing", []string{"plan"}, "", 2, "", "which model?"},
		{"plan of two", []string{"plan", "a", "b"}, "", 2, "", `unexpected argument "b"`},
		{"plan twice", []string{"plan", "a", "model=b"}, "", 2, "", "twice"},
		{"unknown argument", []string{"plan", model, "--num-ctx", "7"}, "", 2, "", "did you mean --context-tokens?"},
		{"no value", []string{"plan", model, "--hardware"}, "", 2, "", "--hardware needs a value"},
		{"value of another type", []string{"plan", model, "--context-tokens", "many"}, "", 1, "", "must be an integer"},
		{"unknown model", []string{"plan", "Qwen/Qwen3-8"}, "", 1, "", "model_not_found"},
		{"unknown model in JSON", []string{"plan", "Qwen/Qwen3-8", "--json"}, "", 1, `"model_not_found"`, ""},

		{"probe", []string{"probe"}, "", 0, "Host: ", ""},
		{"probe in JSON", []string{"probe", "--json", "--full"}, "", 0, `"sources"`, ""},
		{"probe too long", []string{"probe", "--sample-seconds", "900"}, "", 1, "", "sample_seconds"},
		{"doctor", []string{"doctor"}, "", 0, "source host: ok", ""},
		{"plan on this machine", []string{"plan", model, "--hardware", "local", "--engine", "ideal", "--json"}, "", 0, `"free_bytes"`, ""},

		{"call", []string{"call", "lookup_hardware", "name=RTX 4090", "limit=1"}, "", 0, `"total_bytes"`, ""},
		{"call with JSON", []string{"call", "lookup_hardware", `{"name":"RTX 4090"}`}, "", 0, `"RTX 4090"`, ""},
		{"call with JSON from stdin", []string{"call", "lookup_hardware", "-"}, `{"name":"RTX 4090"}`, 0, `"RTX 4090"`, ""},
		{"call for text", []string{"call", "lookup_hardware", "--text", "name=RTX 4090"}, "", 0, "Next: plan_memory", ""},
		{"call with a member", []string{"call", "plan_memory", "model=" + model, "engine=vllm", "flags.enforce_eager=true"}, "", 0, `"verdict"`, ""},
		{"call for help", []string{"call", "plan_memory", "--help"}, "", 0, "gpu-layers", ""},
		{"tool error", []string{"call", "lookup_hardware", "name=RTX 4099"}, "", 1, `"hardware_not_found"`, ""},
		{"tool error as text", []string{"call", "lookup_hardware", "name=RTX 4099", "--text"}, "", 1, "Candidates: ", ""},
		{"unknown tool", []string{"call", "plan"}, "", 2, "", "plan_memory"},
		{"no tool", []string{"call"}, "", 2, "", "needs the name"},
		{"JSON that is none", []string{"call", "lookup_hardware", "-"}, `nonsense`, 2, "", "not a JSON object"},
		{"both forms", []string{"call", "lookup_hardware", `{}`, "limit=1"}, "", 2, "", "unexpected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := try(t, c.stdin, nil, false, c.args...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" || c.stdout == "" && stdout != "" {
				t.Errorf("%q: code %d, want %d\nstdout: %.300s\nstderr: %.300s", c.args, code, c.code, stdout, stderr)
			}
		})
	}
}

func TestJSONIsWhole(t *testing.T) {
	for _, args := range [][]string{
		{"tools", "--json"}, {"plan", "Qwen/Qwen3-8B", "--json"}, {"call", "lookup_model", "model=Qwen/Qwen3-8B"}, {"call", "lookup_model"},
	} {
		_, stdout, _ := try(t, "", nil, true, args...)
		if !json.Valid([]byte(stdout)) {
			t.Errorf("%q printed no JSON: %.200s", args, stdout)
		}
	}
}

func TestPicture(t *testing.T) {
	args := []string{"plan", "Qwen/Qwen3-8B", "hardware=2x RTX 4090", "sequences=8"}
	_, coloured, _ := try(t, "", map[string]string{"TERM": "xterm"}, true, args...)
	if !strings.Contains(coloured, "\x1b[34m█") || !strings.Contains(coloured, "2× RTX 4090") {
		t.Errorf("no coloured bar:\n%s", coloured)
	}
	for name, vars := range map[string]map[string]string{"NO_COLOR": {"NO_COLOR": "1", "TERM": "xterm"}, "a dumb terminal": {"TERM": "dumb"}} {
		_, plain, _ := try(t, "", vars, true, args...)
		if strings.Contains(plain, "\x1b") || !strings.Contains(plain, "[█") {
			t.Errorf("%s: %s", name, plain)
		}
	}
	_, piped, _ := try(t, "", nil, false, args...)
	if strings.ContainsAny(piped, "\x1b█") {
		t.Errorf("not a terminal, and still a picture:\n%s", piped)
	}
	_, wide, _ := try(t, "", map[string]string{"NO_COLOR": "1", "COLUMNS": "100"}, true, args...)
	for _, line := range strings.Split(wide, "\n") {
		if n := len([]rune(line)); strings.Contains(line, "[█") && n != 100 {
			t.Errorf("a bar of %d columns, want 100: %s", n, line)
		}
	}
	_, over, _ := try(t, "", map[string]string{"NO_COLOR": "1"}, true, "plan", "Qwen/Qwen3-8B", "hardware=8GB")
	if !strings.Contains(over, "┃") {
		t.Errorf("no mark where memory ends:\n%s", over)
	}
}

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if code, _, stderr := try(t, "", nil, false, "tools", "--update", path); code != 1 || !strings.Contains(stderr, "doc.md") {
		t.Errorf("a file that is not there: %d %s", code, stderr)
	}
	if err := os.WriteFile(path, []byte("x\n<!-- tools:begin -->\n<!-- tools:end -->\ny\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := try(t, "", nil, false, "tools", "--update", path); code != 0 {
		t.Fatal(stderr)
	}
	doc, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(doc), "### `lookup_model`") || !strings.HasSuffix(string(doc), "<!-- tools:end -->\ny\n") {
		t.Errorf("%v:\n%s", err, doc)
	}
}
