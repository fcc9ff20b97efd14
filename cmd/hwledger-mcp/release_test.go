package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// handshake starts the program with args and expects it to answer as a server
// over standard input and output.
func handshake(t *testing.T, what string, args []string) {
	t.Helper()
	cmd := program(t, args...)
	cmd.Stdin = strings.NewReader(hello)
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), `"name":"hwledger"`) {
		t.Errorf("%s: %q: %v, %.200s", what, args, err, out)
	}
}

// The README's ways to add the server to clients start a server.
func TestClientSnippets(t *testing.T) {
	doc, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "## Add it to an assistant")
	section, _, _ = strings.Cut(section, "\n## ")
	commands, addresses := 0, 0
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(section, -1) {
		var clients map[string]map[string]struct {
			Type, Command, URL string
			Args               []string
		}
		if err := json.Unmarshal([]byte(m[1]), &clients); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
		for _, servers := range clients {
			for _, s := range servers {
				if s.URL != "" {
					addresses++
					if s.Type != "http" || !strings.HasSuffix(s.URL, "/mcp") {
						t.Errorf("%+v", s)
					}
					continue
				}
				commands++
				if s.Command != "hwledger-mcp" {
					t.Errorf("the command is %q", s.Command)
				}
				handshake(t, m[1], s.Args)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:claude|npx) .*-- hwledger-mcp (.*)$`).FindAllStringSubmatch(section, -1) {
		commands++
		handshake(t, m[0], strings.Fields(m[1]))
	}
	if commands < 5 || addresses < 1 {
		t.Errorf("%d commands and %d addresses were found", commands, addresses)
	}
}

// What the registry is told starts a server, with and without the options.
func TestRegistryEntry(t *testing.T) {
	raw, err := os.ReadFile("../../server.json")
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		Name, Description, Version string
		Packages                   []struct {
			RegistryType, Identifier string
			PackageArguments         []struct{ Type, Name, Value string }
		}
	}
	if err := json.Unmarshal(raw, &entry); err != nil {
		t.Fatal(err)
	}
	// The registry's own bounds.
	if !regexp.MustCompile(`^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`).MatchString(entry.Name) || len(entry.Description) == 0 || len(entry.Description) > 100 || len(entry.Packages) == 0 {
		t.Errorf("%+v", entry)
	}
	container, err := os.ReadFile("../../Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range entry.Packages {
		if !strings.HasSuffix(p.Identifier, ":"+entry.Version) {
			t.Errorf("%s is not version %s", p.Identifier, entry.Version)
		}
		// By this label the registry knows that the image is the entry's.
		if p.RegistryType == "oci" && !strings.Contains(string(container), `io.modelcontextprotocol.server.name="`+entry.Name+`"`) {
			t.Error("the image does not name the entry")
		}
		var least, all []string
		for _, a := range p.PackageArguments {
			if a.Type == "positional" {
				least, all = append(least, a.Value), append(all, a.Value)
			} else {
				all = append(all, a.Name)
			}
		}
		handshake(t, "server.json", least)
		handshake(t, "server.json", all)
	}
}
