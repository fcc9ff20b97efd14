package planner

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The page is whole: it names nothing that lies elsewhere, and is small enough
// to go through a chat.
func TestPage(t *testing.T) {
	p := Page()
	for _, foreign := range []string{"http://", "https://", "//cdn", "@import", "url(", "/*style*/", "/*script*/"} {
		if strings.Contains(p, foreign) {
			t.Errorf("%q is in it", foreign)
		}
	}
	if len(p) > 64<<10 {
		t.Errorf("%d bytes", len(p))
	}
}

func TestHandler(t *testing.T) {
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405} {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest(method, "/planner", nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
		if csp := w.Header().Get("Content-Security-Policy"); want == 200 && (!strings.HasPrefix(csp, "default-src 'none'; script-src 'sha256-") || strings.Contains(csp, "unsafe")) {
			t.Error(csp)
		}
	}
}
