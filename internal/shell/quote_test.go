package shell

import (
	"os/exec"
	"strings"
	"testing"
)

// FuzzQuote lets a real shell read what was quoted.
func FuzzQuote(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		f.Skip("there is no sh here")
	}
	for _, s := range []string{"", "plain", "two words", "it's", "$HOME", "`id`", "a\nb", `"`, `\`, "~", "é", "-n", "*", "a;b", "x=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if len(word) > 10_000 {
			return
		}
		out, err := exec.Command(sh, "-c", "printf %s. "+Quote(word)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll(word, "\x00", "") + "."; string(out) != want {
			t.Errorf("%q is read as %q", want, out)
		}
	})
}

func TestJoin(t *testing.T) {
	if got := Join([]string{"a", "b c", "it's"}); got != `a 'b c' 'it'\''s'` {
		t.Error(got)
	}
}
