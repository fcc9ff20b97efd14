package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCandidates(t *testing.T) {
	for line, want := range map[string]struct{ has, hasNot string }{
		"":                       {"serve plan call tools completion version help", "plan_memory"},
		"serve":                  {"--transport --listen --metrics --log-format --read-only", "--json plan"},
		"plan":                   {"--hardware --context-tokens --json --output --fail-unless-fits engine=vllm", "--text"},
		"plan X --engine":        {"vllm llama.cpp", "--hardware"},
		"plan X --picture":       {"--hardware", "vllm"},
		"call":                   {"plan_memory lookup_hardware", "--hardware"},
		"call find_fit":          {"objective=context objective=model hardware= --prefer --text", "picture="},
		"call nothing":           {"", "hardware="},
		"completion":             {"bash zsh fish powershell", "serve"},
		"help":                   {"serve completion", "help"},
		"call lookup_model --no": {"model=", ""},
	} {
		var out bytes.Buffer
		e := &env{ctx: t.Context(), stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
		args := append([]string{"completion", "--"}, strings.Fields(line)...)
		if code := run(e, append(args, "")); code != exitOK {
			t.Errorf("%q: %d", line, code)
		}
		got := strings.Fields(out.String())
		for _, w := range strings.Fields(want.has) {
			if !slices.Contains(got, w) {
				t.Errorf("%q: %s is not offered", line, w)
			}
		}
		for _, w := range strings.Fields(want.hasNot) {
			if slices.Contains(got, w) {
				t.Errorf("%q: %s is offered", line, w)
			}
		}
	}
}

// The scripts work in the shells that are here; bash is.
func TestShells(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ shell, script, want string }{
		{"bash", `source <(hwledger-mcp completion bash)
COMP_LINE='hwledger-mcp pl' COMP_POINT=15; _hwledger_mcp; echo "${COMPREPLY[@]}"
COMP_LINE='hwledger-mcp plan X --engine vl' COMP_POINT=31; _hwledger_mcp; echo "${COMPREPLY[@]}"
COMP_LINE='hwledger-mcp call find_fit objective=con' COMP_POINT=40; _hwledger_mcp; echo "${COMPREPLY[@]}"`, "plan\nvllm\ncontext\n"},
		{"fish", `hwledger-mcp completion fish | source
complete -C 'hwledger-mcp pla'
complete -C 'hwledger-mcp plan X --engine vl'
complete -C 'hwledger-mcp call find_fit objective=con'`, "plan\nvllm\nobjective=context\n"},
		{"zsh", `compdef() { : }; compadd() { while [[ $1 != -- ]]; do shift; done; shift; for w; do print -r -- $w; done }
source <(hwledger-mcp completion zsh)
words=(hwledger-mcp pla) CURRENT=2; _hwledger_mcp
words=(hwledger-mcp plan X --engine vl) CURRENT=5; _hwledger_mcp
words=(hwledger-mcp call find_fit objective=con) CURRENT=4; _hwledger_mcp`, "plan\nvllm\nobjective=context\n"},
	} {
		if _, err := exec.LookPath(c.shell); err != nil {
			if c.shell == "bash" {
				t.Skip("no bash: ", err)
			}
			t.Logf("%s is not here", c.shell)
			continue
		}
		cmd := exec.Command(c.shell, "-c", c.script)
		cmd.Dir = t.TempDir() // shells offer files too
		cmd.Env = append(cmd.Environ(), "PATH="+filepath.Dir(path)+":"+"/usr/local/bin:/usr/bin:/bin", "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v, %q, want %q", c.shell, err, out, c.want)
		}
	}
}
