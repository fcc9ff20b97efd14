package tools

import (
	_ "embed"
	"encoding/base64"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

//go:embed icon.svg
var icon string

// serverIcon is the server's. The tools have none of their own: in the list of
// tools, which every conversation carries, they would take the place of words.
func serverIcon() mcp.Icon {
	return mcp.Icon{
		Src:      "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(strings.TrimSpace(icon))),
		MIMEType: "image/svg+xml", Sizes: []string{"any"},
	}
}
