package tools

import (
	_ "embed"
	"encoding/base64"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

//go:embed icon.svg
var icon string

// plannerIcon is the planner's. The tools have none: in their list, which every
// conversation carries, they would take the place of words; and the server has
// none: protocol 2026-07-28 repeats what it is in every answer.
func plannerIcon() mcp.Icon {
	return mcp.Icon{
		Src:      "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(strings.TrimSpace(icon))),
		MIMEType: "image/svg+xml", Sizes: []string{"any"},
	}
}
