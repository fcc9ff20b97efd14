package engines

import (
	"hwledger/sidecar"
)

// mlxFailure is how Metal says that memory ran out.
var mlxFailure = sign(sidecar.OutOfMemory, "Metal had no memory left", `\[METAL\] Command buffer execution failed: Insufficient Memory|\[metal::malloc\] (?:Attempting to allocate|Resource limit)`)

// mlxLM is mlx_lm.server. It has no keys and loads the model with the first
// request for it.
func mlxLM() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "mlx_lm.server", Plans: "mlx", Programs: []string{"mlx_lm.server"}, HelpArgs: [][]string{{"--help"}},
		Refused:  []string{"--trust-remote-code", "--chat-template", "--adapter-path", "--allowed-origins", "--use-default-chat-template", "--draft-model"},
		HostFlag: "--host", PortFlag: "--port",
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{mlxFailure},
	}
}

// oMLX is omlx serve. What it is not told it takes from the settings that its
// last run kept.
func oMLX() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "omlx", Plans: "mlx", Programs: []string{"omlx"},
		VersionArgs: []string{"--version"}, Version: numbered, HelpArgs: [][]string{{"serve", "--help"}},
		Refused:  []string{"--mcp-config", "--api-key", "--base-path"},
		HostFlag: "--host", PortFlag: "--port", Models: "/v1/models",
		Failures: []sidecar.Signature{mlxFailure},
	}
}
