package engines

import (
	"hwledger/sidecar"
)

// mistralRS is mistral.rs' server. It listens when the model is loaded; its
// health does not tell about the model, its list of models does.
func mistralRS() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "mistralrs", Plans: "mistral.rs", Programs: []string{"mistralrs", "mistralrs-server"},
		VersionArgs: []string{"--version"}, Version: numbered, HelpArgs: [][]string{{"serve", "--help"}},
		Refused: []string{
			"--mcp-config", "--mcp-port", "--log", "-l", "--token-source", "--chat-template", "-j", "--jinja-explicit", "--topology", "--write-uqff",
			"--from-uqff", "--enable-search", "--search-embedding-model", "--tokenizer-json", "--code-execution",
		},
		HostFlag: "--host", PortFlag: "--port",
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "", `DriverError\(CUDA_ERROR_OUT_OF_MEMORY|this model does not fit on the devices`),
			sign(sidecar.BadModel, "", `could not get file .* from API|failed to (?:parse|load) model config`),
		},
	}
}
