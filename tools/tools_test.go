package tools

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hwledger/calc/hardware"
	"hwledger/internal/schema"
)

var update = flag.Bool("update", false, "rewrite the snapshots in testdata")

func newSurface(t testing.TB, opts Options) *Surface {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A change of the surface is a change of these files, to be reviewed.
func TestSnapshots(t *testing.T) {
	s := newSurface(t, Options{AllowLaunch: true})
	defs, err := s.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defs {
		path := filepath.Join("testdata", d.Name+".json")
		files = slices.DeleteFunc(files, func(f string) bool { return f == path })
		// The list has the gist of what is returned; the whole is reviewed here.
		tool, err := s.Tool(d.Name)
		if err == nil {
			d.RawOutputSchema, err = json.Marshal(tool.Out)
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := json.Indent(&got, raw, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is not the snapshot (%v); when the change is meant: go test ./tools -update", d.Name, err)
		}
	}
	for _, f := range files {
		t.Errorf("%s is the snapshot of no tool", f)
	}
}

// The list goes into the context of every conversation.
func TestListSize(t *testing.T) {
	defs, err := newSurface(t, Options{AllowLaunch: true}).Definitions()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(defs)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tools/list is %d bytes", len(raw))
	if len(raw) > 24<<10 {
		t.Errorf("tools/list is %d bytes, at most %d", len(raw), 24<<10)
	}
}

// Clients are shown whole schemas, which mcp-go itself does not have; it would
// need them only for parameters that headers repeat.
func TestListedSchemas(t *testing.T) {
	defs, err := newSurface(t, Options{AllowLaunch: true}).Definitions()
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Tools []struct {
			Name        string
			InputSchema json.RawMessage
		}
	}
	exchange(t, Options{AllowLaunch: true}, "tools/list", "", &list)
	if len(list.Tools) != len(defs) {
		t.Errorf("%d tools are listed, %d defined", len(list.Tools), len(defs))
	}
	for _, l := range list.Tools {
		i := slices.IndexFunc(defs, func(d mcp.Tool) bool { return d.Name == l.Name })
		if i < 0 || !bytes.Equal(l.InputSchema, defs[i].RawInputSchema) {
			t.Errorf("%s is listed with the schema %.100s", l.Name, l.InputSchema)
		}
		if bytes.Contains(l.InputSchema, []byte("x-mcp-header")) {
			t.Errorf("%s has parameters that headers repeat: mcp-go has to see them", l.Name)
		}
	}
}

func TestMetadata(t *testing.T) {
	s := newSurface(t, Options{AllowLaunch: true})
	seen := map[string]bool{}
	for _, tool := range s.Tools() {
		if seen[tool.Name] {
			t.Errorf("%s is there twice", tool.Name)
		}
		seen[tool.Name] = true
		if tool.Title == "" || tool.Toolset == "" || !strings.Contains(tool.Name, "_") {
			t.Errorf("%s: name, title or toolset", tool.Name)
		}
		if n := strings.Count(tool.Description, ". ") + 1; n < 2 || n > 4 || len(tool.Description) > 700 {
			t.Errorf("%s: the description has %d sentences and %d characters", tool.Name, n, len(tool.Description))
		}
		for _, p := range tool.In.Properties {
			if p.Schema.Description == "" {
				t.Errorf("%s.%s is not described", tool.Name, p.Name)
			}
		}
		d, err := tool.definition()
		if err != nil {
			t.Fatal(err)
		}
		a := d.Annotations
		switch {
		case a.ReadOnlyHint == nil || a.OpenWorldHint == nil:
			t.Errorf("%s: an annotation is not set: %+v", tool.Name, a)
		case *a.ReadOnlyHint && (a.DestructiveHint != nil || a.IdempotentHint != nil):
			t.Errorf("%s reads only, and says how it writes", tool.Name)
		case !*a.ReadOnlyHint && (a.DestructiveHint == nil || a.IdempotentHint == nil):
			t.Errorf("%s writes, and does not say how: %+v", tool.Name, a)
		}
	}
	if text := s.Instructions(); !strings.Contains(text, "plan_memory") || !strings.Contains(text, "lookup_hardware") {
		t.Errorf("the instructions leave tools out: %s", text)
	}
}

// Schemas that do not compile are ignored by clients and by mcp-go.
func TestSchemasCompile(t *testing.T) {
	for _, tool := range newSurface(t, Options{AllowLaunch: true}).Tools() {
		for kind, s := range map[string]*schema.Schema{"input": tool.In, "output": tool.Out, "gist": tool.Out.Gist()} {
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			compile(t, tool.Name+"-"+kind, raw)
			var top map[string]any
			if err := json.Unmarshal(raw, &top); err != nil {
				t.Fatal(err)
			}
			if top["type"] != "object" {
				t.Errorf("%s %s: the top level is no object", tool.Name, kind)
			}
			for _, word := range []string{"anyOf", "oneOf", "allOf", "not", "enum"} {
				if _, there := top[word]; there {
					t.Errorf("%s %s: %s at the top level is refused by some providers", tool.Name, kind, word)
				}
			}
			if kind == "input" && !tool.In.Closed {
				t.Errorf("%s takes unknown arguments", tool.Name)
			}
		}
	}
}

func compile(t testing.TB, name string, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("mem:///"+name+".json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///" + name + ".json")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// conforms checks a result's structured content against the tool's output
// schema with somebody else's validator.
func conforms(t testing.TB, s *Surface, name string, structured json.RawMessage) {
	t.Helper()
	tool, err := s.Tool(name)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(tool.Out)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(structured))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, name, raw).Validate(v); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestToolsets(t *testing.T) {
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{}, "lookup_model search_models plan_memory find_fit compare_plans export_launch explain_memory probe_hardware lookup_hardware list_sidecars get_sidecar query_ledger verify_ledger record_event report_usage"},
		{Options{ReadOnly: true, AllowLaunch: true}, "lookup_model search_models plan_memory find_fit compare_plans export_launch explain_memory probe_hardware lookup_hardware list_sidecars get_sidecar query_ledger verify_ledger report_usage"},
		{Options{Toolsets: []string{"sidecar"}, AllowLaunch: true}, "launch_sidecar list_sidecars get_sidecar call_sidecar stop_sidecar"},
		{Options{Toolsets: []string{"plan"}}, "plan_memory find_fit compare_plans export_launch explain_memory"},
		{Options{Toolsets: []string{"hardware", "model"}}, "lookup_model search_models probe_hardware lookup_hardware"},
	} {
		var names []string
		for _, tool := range newSurface(t, c.opts).Tools() {
			names = append(names, tool.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.opts, got, c.want)
		}
	}
	if _, err := New(Options{Toolsets: []string{"plans"}}); err == nil || !strings.Contains(err.Error(), "model, plan, hardware") {
		t.Errorf("an unknown toolset: %v", err)
	}
}

// lookup_hardware can filter by every maker and class of the catalogue.
func TestHardwareEnums(t *testing.T) {
	tool, err := newSurface(t, Options{}).Tool("lookup_hardware")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range hardware.All() {
		if !slices.Contains(tool.In.Property("vendor").Schema.Enum, a.Vendor) || !slices.Contains(tool.In.Property("class").Schema.Enum, a.Class) {
			t.Errorf("%s: %s or %s is not in the schema", a.Name, a.Vendor, a.Class)
		}
	}
}
