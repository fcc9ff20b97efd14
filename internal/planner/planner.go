// Package planner is the interactive planner: one page that shows what
// plan_memory answers and asks the server again when a control moves. It is an
// MCP App (io.modelcontextprotocol/ui, 2026-01-26) in a chat, and a page of its
// own over HTTP.
package planner

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
)

// What the MCP Apps extension calls the page.
const (
	Extension = "io.modelcontextprotocol/ui"
	URI       = "ui://hwledger/planner.html"
	MIME      = "text/html;profile=mcp-app"
)

var (
	//go:embed planner.html
	frame string
	//go:embed planner.css
	style string
	//go:embed planner.js
	script string
)

// Page is the whole page: nothing in it is loaded from elsewhere.
var Page = sync.OnceValue(func() string {
	return strings.NewReplacer("/*style*/", style, "/*script*/", script).Replace(frame)
})

// policy allows the page its own script and style, and its own server.
var policy = sync.OnceValue(func() string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src " + hash(script) + "; style-src " + hash(style) +
		"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

// Handler serves the page. It holds nothing of the server's: what it asks for
// goes through the server's own guards.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the page is read with GET", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy())
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write([]byte(Page())) // the client may have gone
	})
}
