package schema

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

type engineName string

func (engineName) Enum() []string { return []string{"vllm", "llama.cpp", "ideal"} }

type either struct{}

func (either) JSONSchema() *Schema {
	return &Schema{AnyOf: []*Schema{{Type: "string"}, {Type: "object", Closed: true, Properties: []Property{
		{Name: "memory_bytes", Required: true, Schema: &Schema{Type: "integer"}}}}}}
}

type loadArgs struct {
	ContextTokens int64   `json:"context_tokens,omitempty" doc:"Tokens." min:"1" max:"1000000" alias:"num_ctx,max_model_len"`
	Share         float64 `json:"share,omitempty" min:"0" max:"1" default:"0.9"`
}

type args struct {
	Model  string     `json:"model" doc:"A name."`
	Engine engineName `json:"engine,omitempty"`
	loadArgs
	Eager    bool           `json:"eager,omitempty"`
	Flags    map[string]any `json:"flags,omitempty"`
	Hardware *either        `json:"hardware,omitempty"`
	Names    []string       `json:"names,omitempty"`
}

type node struct {
	Bytes int64 `json:"bytes"`
}

// others has the arguments that another tool describes.
type others struct {
	args   `brief:"true"`
	First  *node `json:"first,omitempty"`
	Second *node `json:"second,omitempty"`
}

type result struct {
	Verdict string          `json:"verdict" enum:"fits,does_not_fit"`
	Device  node            `json:"device"`
	Host    *node           `json:"host,omitempty"`
	By      map[string]node `json:"by"`
}

func TestSchemas(t *testing.T) {
	for _, c := range []struct {
		s    *Schema
		want string
	}{
		{Input[args](), `{"type":"object","properties":{"model":{"type":"string","description":"A name."},` +
			`"engine":{"type":"string","enum":["vllm","llama.cpp","ideal"]},` +
			`"context_tokens":{"type":"integer","description":"Tokens.","minimum":1,"maximum":1000000},` +
			`"share":{"type":"number","minimum":0,"maximum":1,"default":0.9},` +
			`"eager":{"type":"boolean"},"flags":{"type":"object","additionalProperties":true},` +
			`"hardware":{"anyOf":[{"type":"string"},{"type":"object","properties":{"memory_bytes":{"type":"integer"}},"required":["memory_bytes"],"additionalProperties":false}]},` +
			`"names":{"type":"array","items":{"type":"string"}}},"required":["model"],"additionalProperties":false}`},
		{Output[result]().Gist(), `{"type":"object","properties":{"verdict":{"type":"string","enum":["fits","does_not_fit"]}}}`},
		{Output[node]().Gist(), `{"type":"object","properties":{"bytes":{"type":"integer"}}}`},
		{Input[others](), `{"type":"object","properties":{"model":{"type":"string"},"engine":{"type":"string"},"context_tokens":{"type":"integer"},"share":{"type":"number"},` +
			`"eager":{"type":"boolean"},"flags":{"type":"object","additionalProperties":true},"hardware":{"anyOf":[{"type":"string"},{"type":"object","additionalProperties":true}]},` +
			`"names":{"type":"array","items":{"type":"string"}},"first":{"$ref":"#/$defs/node"},"second":{"$ref":"#/$defs/node"}},"required":["model"],"additionalProperties":false,` +
			`"$defs":{"node":{"type":"object","properties":{"bytes":{"type":"integer"}},"required":["bytes"],"additionalProperties":false}}}`},
	} {
		got, err := json.Marshal(c.s)
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s\nwant %s\n%v", got, c.want, err)
		}
	}
}

func TestClean(t *testing.T) {
	s := Input[args]()
	for _, c := range []struct{ in, want string }{
		{``, `{}`},
		{`null`, `{}`},
		{`{"model":"m","engine":null}`, `{"model":"m"}`},
		{`{"model":"m","context_tokens":8192.0}`, `{"context_tokens":8192,"model":"m"}`},
		{`{"model":"m","context_tokens":1e3}`, `{"context_tokens":1000,"model":"m"}`},
		{`{"model":"m","hardware":{"memory_bytes":1.0}}`, `{"hardware":{"memory_bytes":1},"model":"m"}`},
		{`{"model":"m","flags":{"x":[1,null]}}`, `{"model":"m","flags":{"x":[1,null]}}`},
	} {
		got, bad := s.Clean("tool", []byte(c.in))
		if c.want == `{}` { // model is missing, and that is all
			if len(bad) != 1 || bad[0].Field != "model" {
				t.Errorf("%s: %v", c.in, bad)
			}
			continue
		}
		if len(bad) > 0 || string(got) != c.want {
			t.Errorf("%s: got %s %v, want %s", c.in, got, bad, c.want)
		}
	}
}

func TestViolations(t *testing.T) {
	s := Input[args]()
	for _, c := range []struct {
		in, field, says string
		candidates      []string
	}{
		{`{}`, "model", "plan needs model", nil},
		{`[1]`, "", "an array, not an object", nil},
		{`{"model":`, "", "not valid JSON", nil},
		{`{"model":"m"} x`, "", "not valid JSON", nil},
		{`{"model":7}`, "model", "must be a string, not 7", nil},
		{`{"model":"m","contxt_tokens":1}`, "contxt_tokens", `plan has no argument "contxt_tokens"`, []string{"context_tokens"}},
		{`{"model":"m","num_ctx":1}`, "num_ctx", "no argument", []string{"context_tokens"}},
		{`{"model":"m","zzzzzzzz":1}`, "zzzzzzzz", "no argument", nil},
		{`{"model":"m","engine":"vlm"}`, "engine", `engine cannot be "vlm"`, []string{"vllm"}},
		{`{"model":"m","engine":"sqrt"}`, "engine", `engine cannot be "sqrt"`, []string{"vllm", "llama.cpp", "ideal"}},
		{`{"model":"m","context_tokens":"8192"}`, "context_tokens", `must be an integer, not the string "8192"`, nil},
		{`{"model":"m","context_tokens":0}`, "context_tokens", "it must be between 1 and 1000000", nil},
		{`{"model":"m","context_tokens":1.5}`, "context_tokens", "whole number", nil},
		{`{"model":"m","context_tokens":1e30}`, "context_tokens", "whole number", nil},
		{`{"model":"m","context_tokens":1e999}`, "context_tokens", "out of range", nil},
		{`{"model":"m","share":1.5}`, "share", "between 0 and 1", nil},
		{`{"model":"m","eager":"yes"}`, "eager", "must be true or false", nil},
		{`{"model":"m","hardware":7}`, "hardware", "a string or an object, not 7", nil},
		{`{"model":"m","hardware":{"memory":7}}`, "hardware.memory_bytes", "hardware needs memory_bytes", nil},
		{`{"model":"m","names":"x"}`, "names", "must be an array", nil},
		{`{"model":"m","names":[1]}`, "names[0]", "must be a string, not 1", nil},
		{`{"model":"m","flags":[]}`, "flags", "must be an object", nil},
	} {
		_, bad := s.Clean("plan", []byte(c.in))
		if len(bad) == 0 {
			t.Errorf("%s: nothing wrong", c.in)
			continue
		}
		v := bad[0]
		if v.Field != c.field || !strings.Contains(v.Message, c.says) || !slices.Equal(v.Candidates, c.candidates) {
			t.Errorf("%s: got %+v", c.in, v)
		}
	}
}

// What Clean lets through always decodes into the type.
func FuzzClean(f *testing.F) {
	s := Input[args]()
	f.Add([]byte(`{"model":"m","context_tokens":4096.0,"hardware":"x","names":["a",null],"flags":{"a":1}}`))
	f.Add([]byte(`{"model":"m","Model":7,"eager":null,"share":1e-3}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, bad := s.Clean("plan", in)
		for _, v := range bad {
			if v.Message == "" {
				t.Errorf("%q: a violation without a message", in)
			}
		}
		if len(bad) > 0 {
			return
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(out, &raw); err != nil {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
		delete(raw, "hardware") // its type is only a schema here
		rest, _ := json.Marshal(raw)
		var a args
		if err := json.Unmarshal(rest, &a); err != nil {
			t.Errorf("%q became %q: %v", in, out, err)
		}
	})
}

func TestVerify(t *testing.T) {
	s := Output[result]()
	by := map[string]node{"a": {1}}
	for _, c := range []struct {
		v    any
		says string
	}{
		{result{Verdict: "fits", By: by}, ""},
		{&result{Verdict: "fits", By: by, Host: &node{2}}, ""},
		{result{Verdict: "fits"}, "by is null"},
		{result{Verdict: "maybe", By: by}, `verdict is "maybe"`},
		{(*result)(nil), "is null"},
	} {
		err := s.Verify(c.v)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want %q", c.v, err, c.says)
		}
	}
}
