package sidecar

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What an engine streams, lists and prints as help is read without a panic,
// whatever it is; what is streamed is the text that is returned.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n"))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"reasoning_content\":\"b\"}}],\"timings\":{\"predicted_n\":-1}}\n"))
	f.Add([]byte("data: {\"error\":{\"message\":\"x\"}}\n: comment\r\nevent: x\n"))
	f.Add([]byte("usage: x [-h] [--port P]\n\n  -p, --port P  the port\n"))
	f.Add([]byte(`{"data":[{"id":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var streamed strings.Builder
		r, err := readStream(bytes.NewReader(b), func(s string) { streamed.WriteString(s) })
		if err == nil && len(r.Text) > streamed.Len() {
			t.Errorf("%q was returned, %q streamed", r.Text, streamed.String())
		}
		for o := range parseHelp(string(b)) {
			if !strings.HasPrefix(o, "-") || strings.ContainsAny(o, " \t\n=") {
				t.Errorf("%q is no option", o)
			}
		}
		talk := &webTalk{model: "x"}
		talk.choose(b)
		_ = refused(400, b) // it does not panic
	})
}

// A child gets what it needs of this program's environment, and nothing else.
func TestEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	t.Setenv("LD_PRELOAD", "/x.so")
	t.Setenv("HF_TOKEN", "token")
	s := &sidecar{id: "0", engine: &Engine{KeyEnv: "KEY", Env: map[string]string{"A": "engine"}}, key: "secret", spec: Spec{Model: "org/name", Env: map[string]string{"A": "spec"}}}
	get := func(name string) string {
		for _, v := range environment(s) {
			if rest, ok := strings.CutPrefix(v, name+"="); ok {
				return rest
			}
		}
		return ""
	}
	for _, name := range []string{"SystemRoot", "PATHEXT", "ComSpec", "ProgramData"} { // programs fail without, on Windows
		if got := get(strings.ToUpper(name)); got != os.Getenv(name) {
			t.Errorf("%s is %q, want %q", name, got, os.Getenv(name))
		}
	}
	for name, want := range map[string]string{"AWS_SECRET_ACCESS_KEY": "", "LD_PRELOAD": "", "HF_TOKEN": "token", "KEY": "secret", "A": "spec", "HWLEDGER_SIDECAR": "0", "HF_HUB_OFFLINE": ""} {
		if got := get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	s.spec.Model = filepath.Join(t.TempDir(), "x")
	if get("HF_HUB_OFFLINE") != "1" || get("HF_TOKEN") != "" {
		t.Error("a token goes to an engine that fetches nothing")
	}
}

// A word is an option or a value, and both forms of an option are known.
func TestOption(t *testing.T) {
	for word, want := range map[string]string{
		"--port": "--port", "-c": "-c", "--set=a.b=c": "--set", "value": "", "-1": "", "-0.5": "", "-": "", "": "", "-1x": "-1x", "--": "--",
	} {
		if got := option(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	e := &Engine{HostFlag: "--host", PortFlag: "--port", SocketFlag: "--uds"}
	args := []string{"serve", "m", "--host", "0.0.0.0", "--port", "80", "-c", "5"}
	if got := strings.Join(e.onPort(args, 9), " "); got != "serve m -c 5 --host 127.0.0.1 --port 9" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(e.onSocket(args, "/x.sock"), " "); got != "serve m -c 5 --uds /x.sock" {
		t.Errorf("%q", got)
	}
}
