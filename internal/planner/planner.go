// Package planner is the interactive page that shows a plan and plans again
// as its controls move. A chat shows it as an MCP App (SEP-1865, version
// 2026-01-26); over HTTP it is a page of its own. Either way it asks the
// server for every number.
package planner

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"hwledger/calc"
	"hwledger/calc/hardware"
)

const (
	// URI is the address of the page as a resource.
	URI = "ui://hwledger/planner.html"
	// MIME is the type that makes a resource an app.
	MIME = "text/html;profile=mcp-app"
	// Extension is the capability of clients that show apps.
	Extension = "io.modelcontextprotocol/ui"
)

//go:embed planner.html planner.css transport.js draw.js planner.js
var files embed.FS

// page is the document with everything in it, and the policy that allows just
// that.
var page = sync.OnceValues(func() (html, policy string) {
	read := func(names ...string) string {
		var b strings.Builder
		for _, n := range names {
			raw, err := files.ReadFile(n)
			if err != nil {
				panic(err) // it was embedded by that name
			}
			b.Write(raw)
		}
		return b.String()
	}
	style, script := read("planner.css"), read("transport.js", "draw.js", "planner.js")
	choices, err := json.Marshal(newChoices())
	if err != nil {
		panic(err) // strings only
	}
	html = strings.NewReplacer("{{style}}", style, "{{script}}", script, "{{choices}}", string(choices)).Replace(read("planner.html"))
	policy = "default-src 'none'; script-src " + digest(script) + "; style-src " + digest(style) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return html, policy
})

// digest names a script or a style in a content security policy.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// HTML returns the page. It loads nothing from elsewhere.
func HTML() string {
	html, _ := page()
	return html
}

// choices are what the page's lists offer.
type choices struct {
	Engines  []string `json:"engines"`
	Hardware []group  `json:"hardware"`
}

// group is hardware of one vendor and class. Single is set when a machine has
// one of it.
type group struct {
	Label  string   `json:"label"`
	Names  []string `json:"names"`
	Single bool     `json:"single,omitempty"`
}

// classes are the groups in their order.
var classes = []struct{ vendor, class, label string }{
	{"nvidia", "datacenter", "NVIDIA data centre"}, {"nvidia", "workstation", "NVIDIA workstation"}, {"nvidia", "consumer", "NVIDIA GeForce"},
	{"apple", "unified", "Apple"},
	{"amd", "datacenter", "AMD data centre"}, {"amd", "workstation", "AMD workstation"}, {"amd", "consumer", "AMD Radeon"},
	{"intel", "", "Intel"}, {"", "unified", "Unified memory"}, {"", "", "Others"},
}

// newChoices sorts the catalogue's machines with one accelerator into groups,
// the most memory first, after the server's own machine.
func newChoices() choices {
	c := choices{Engines: calc.Engines(), Hardware: make([]group, len(classes))}
	ladder := hardware.Ladder()
	for i := len(ladder) - 1; i >= 0; i-- {
		r := &ladder[i]
		if r.Count != 1 {
			continue
		}
		for j, want := range classes {
			if (want.vendor == "" || want.vendor == r.Vendor) && (want.class == "" || want.class == r.Class) {
				c.Hardware[j].Names = append(c.Hardware[j].Names, r.Name)
				break
			}
		}
	}
	for j := range classes {
		c.Hardware[j].Label, c.Hardware[j].Single = classes[j].label, classes[j].class == "unified"
	}
	c.Hardware = append([]group{{Label: "This machine", Names: []string{"local"}, Single: true}}, c.Hardware...)
	return c
}

// Handler serves the page. It holds nothing of anybody: what it shows, it asks
// the server's MCP endpoint for, with the token that its reader has.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the planner is a page to read", http.StatusMethodNotAllowed)
			return
		}
		html, policy := page()
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write([]byte(html)) // a client that is gone reads nothing
	})
}
