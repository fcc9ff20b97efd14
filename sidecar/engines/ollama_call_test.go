package engines

import (
	"strings"
	"testing"
)

func TestReadOllama(t *testing.T) {
	for name, c := range map[string]struct{ in, text, wrong string }{
		"chat":     {`{"message":{"content":"a"}}` + "\n" + `{"message":{"content":"b"},"done":true,"done_reason":"stop","prompt_eval_count":3,"prompt_eval_duration":1000000000,"eval_count":2,"eval_duration":500000000}`, "ab", ""},
		"thoughts": {`{"message":{"thinking":"hm"}}` + "\n" + `{"message":{"content":"b"},"done":true,"done_reason":"stop","prompt_eval_count":3,"prompt_eval_duration":1000000000,"eval_count":2,"eval_duration":500000000}`, "b", ""},
		"error":    {`{"response":"a"}` + "\n" + `{"error":"it broke"}`, "", "it broke"},
		"cut off":  {`{"response":"a"}`, "", "ended early"},
		"no JSON":  {`<html>`, "", "reading the daemon's answer"},
	} {
		var pieces strings.Builder
		r, err := readOllama(strings.NewReader(c.in), func(s string) { pieces.WriteString(s) })
		switch {
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: %v", name, err)
		case c.wrong == "" && (err != nil || r.Text != c.text || r.FinishReason != "stop" || r.PromptTokens != 3 || r.PromptPerSecond != 3 || r.PerSecond != 4 || !strings.HasSuffix(pieces.String(), c.text)):
			t.Errorf("%s: %v: %+v from %q", name, err, r, pieces.String())
		}
	}
}

func TestOllamaCounts(t *testing.T) {
	for release, want := range map[string]bool{"0.17.4": true, "v0.29.9-rc0": true, "0.30.0": false, "1.2.3": false, "": false, "0.0.0": false, "x": false} {
		if got := (ollamaDaemon{}).Counts(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

func FuzzReadOllama(f *testing.F) {
	f.Add([]byte(`{"message":{"content":"a"}}` + "\n" + `{"response":"b","done":true,"eval_count":2,"eval_duration":5}`))
	f.Add([]byte(`{"error":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var pieces strings.Builder
		r, err := readOllama(strings.NewReader(string(b)), func(s string) { pieces.WriteString(s) })
		if (r == nil) == (err == nil) {
			t.Fatalf("%+v and %v", r, err)
		}
		if r != nil && (pieces.Len() < len(r.Text) || r.PerSecond < 0 || r.PromptPerSecond < 0) {
			t.Errorf("%+v from %q", r, pieces.String())
		}
	})
}
