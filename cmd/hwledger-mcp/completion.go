package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"hwledger/internal/schema"
	"hwledger/tools"
)

// shells are scripts that ask "completion -- WORD… CURRENT" for what may
// stand in the place of the last word.
var shells = map[string]string{
	"bash": `_hwledger_mcp() {
  local line=${COMP_LINE:0:COMP_POINT} current=
  local -a before
  read -ra before <<<"$line"
  if [[ $line != *[[:space:]] ]]; then
    current=${before[${#before[@]}-1]}
    unset "before[${#before[@]}-1]"
  fi
  mapfile -t COMPREPLY < <("${before[0]}" completion -- "${before[@]:1}" "$current" 2>/dev/null)
  # Bash replaces what stands after the last = only.
  [[ $current == *=* && $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*=}"}"}")
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _hwledger_mcp hwledger-mcp
`,
	"zsh": `#compdef hwledger-mcp
_hwledger_mcp() {
  local -a found
  found=("${(@f)$("${words[1]}" completion -- "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null)}")
  [[ -z ${found[1]} ]] && { _files; return }
  compadd -S '' -- ${(M)found:#*=}
  compadd -- ${found:#*=}
}
if [[ ${funcstack[1]} == _hwledger_mcp ]]; then _hwledger_mcp; else compdef _hwledger_mcp hwledger-mcp; fi
`,
	"fish": `function __hwledger_mcp
  set -l before (commandline -opc)
  $before[1] completion -- $before[2..] (commandline -ct) 2>/dev/null
end
complete -c hwledger-mcp -a '(__hwledger_mcp)'
`,
	"powershell": `Register-ArgumentCompleter -Native -CommandName hwledger-mcp -ScriptBlock {
  param($current, $ast, $position)
  $before = @($ast.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position } | ForEach-Object { $_.Extent.Text })
  $rest = @($before | Select-Object -Skip 1)
  if ($current -eq '') { $current = ' ' }  # older versions drop empty arguments
  & $before[0] completion -- @rest $current 2>$null | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`,
}

func completion(e *env, args []string) int {
	switch {
	case len(args) > 1 && args[0] == "--":
		before, current := args[1:len(args)-1], strings.TrimSpace(args[len(args)-1])
		for _, w := range candidates(e, before) {
			if strings.HasPrefix(w, current) {
				fmt.Fprintln(e.stdout, w)
			}
		}
		return exitOK
	case len(args) == 1 && isHelp(args[0]):
		fmt.Fprint(e.stdout, `
  bash        source <(hwledger-mcp completion bash)
  zsh         source <(hwledger-mcp completion zsh)
  fish        hwledger-mcp completion fish | source
  powershell  hwledger-mcp completion powershell | Out-String | Invoke-Expression
`)
		return exitOK
	case len(args) == 1 && shells[args[0]] != "":
		fmt.Fprint(e.stdout, shells[args[0]])
		return exitOK
	}
	return misuse(e, "completion needs a shell: bash, zsh, fish or powershell")
}

// candidates are the words that may follow others. Where anything may follow,
// there are none and the shell offers files.
func candidates(e *env, before []string) []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	if len(before) == 0 {
		return append(names, "help")
	}
	switch before[0] {
	case "help":
		return names
	case "completion":
		return []string{"bash", "fish", "powershell", "zsh"}
	case "call", "plan":
		return arguable(e, before)
	}
	for _, c := range commands() {
		if c.name == before[0] {
			return flagsOf(e, c)
		}
	}
	return nil
}

// arguable are the candidates of commands that take a tool's arguments.
func arguable(e *env, before []string) []string {
	s, err := surface(e, tools.Options{})
	if err != nil {
		return nil
	}
	name := planTool
	if before[0] == "call" {
		if len(before) == 1 {
			var out []string
			for _, t := range s.Tools() {
				out = append(out, t.Name)
			}
			return out
		}
		name = before[1]
	}
	t, err := s.Tool(name)
	if err != nil {
		return nil
	}
	argument := func(word string) *schema.Property {
		return t.In.Property(strings.ReplaceAll(strings.TrimPrefix(word, "--"), "-", "_"))
	}
	if last := before[len(before)-1]; strings.HasPrefix(last, "--") && !strings.Contains(last, "=") {
		if p := argument(last); p != nil && p.Schema.Type != "boolean" {
			return p.Schema.Enum
		}
	}
	var out []string
	for _, p := range t.In.Properties {
		out = append(out, "--"+strings.ReplaceAll(p.Name, "_", "-"))
		for _, v := range p.Schema.Enum {
			out = append(out, p.Name+"="+v)
		}
		if len(p.Schema.Enum) == 0 {
			out = append(out, p.Name+"=")
		}
	}
	if before[0] == "call" {
		return append(out, "--text", "-")
	}
	for _, c := range commands() {
		if c.name == before[0] {
			out = append(out, flagsOf(e, c)...)
		}
	}
	return out
}

var flagLine = regexp.MustCompile(`(?m)^  --?([a-z][a-z-]+)`)

// flagsOf reads a command's flags from its help, which knows them all.
func flagsOf(e *env, c command) []string {
	var text bytes.Buffer
	quiet := *e
	quiet.stdout, quiet.stderr = &text, &text
	help(&quiet, []string{c.name})
	var out []string
	for _, m := range flagLine.FindAllStringSubmatch(text.String(), -1) {
		out = append(out, "--"+m[1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}
