package planner

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"hwledger/calc/hardware"
)

// The page is one document of some tens of kilobytes that names no other
// origin: the policies it is shown under would refuse it.
func TestSelfContained(t *testing.T) {
	html := HTML()
	t.Logf("the page is %d bytes", len(html))
	if len(html) > 64<<10 {
		t.Errorf("the page is %d bytes", len(html))
	}
	if strings.Contains(html, "{{") {
		t.Error("a place in the template was left open")
	}
	for _, address := range regexp.MustCompile(`(?:https?:)?//[a-z0-9][\w.-]*\.[a-z]{2,}[^\s'"]*`).FindAllString(html, -1) {
		if address != "http://www.w3.org/2000/svg" { // a name, never fetched
			t.Errorf("the page names %s", address)
		}
	}
	if m := regexp.MustCompile(`\s(style|on[a-z]+)="`).FindString(html); m != "" {
		t.Errorf("the policy refuses the attribute %s", m)
	}
}

// Whatever the list of hardware offers, the server understands.
func TestHardwareParses(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range newChoices().Hardware[1:] { // the first is this machine
		if len(g.Names) == 0 {
			t.Errorf("%s is empty", g.Label)
		}
		for _, name := range g.Names {
			if hw, err := hardware.Parse(name); err != nil || len(hw.Devices) == 0 || seen[name] {
				t.Errorf("%s: %v", name, err)
			}
			seen[name] = true
		}
	}
	if !seen["RTX 4090"] || len(seen) < 150 {
		t.Errorf("%d names", len(seen))
	}
}

func TestHandler(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
	}{{http.MethodGet, 200}, {http.MethodHead, 200}, {http.MethodPost, 405}} {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest(c.method, "/planner", nil))
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.method, w.Code, c.status)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if c.status == 200 && (!strings.HasPrefix(policy, "default-src 'none'; script-src 'sha256-") || strings.Contains(policy, "unsafe")) {
			t.Errorf("%s: policy %q", c.method, policy)
		}
	}
}
