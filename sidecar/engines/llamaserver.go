package engines

import (
	"regexp"

	"hwledger/sidecar"
)

// llamaServer is llama.cpp's own server (tools/server/README.md). It listens
// before the model is loaded and answers 503 until then.
func llamaServer() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "llama-server", Plans: "llama.cpp", Programs: []string{"llama-server"},
		VersionArgs: []string{"--version"}, Version: regexp.MustCompile(`version:\s*(\S+)`),
		HelpArgs: [][]string{{"--help"}},
		Refused: []string{
			"--tools", "--tools-runtime", "--mcp-servers-config", "--mcp-servers-json", "--agent", "-ag", "--ui-mcp-proxy", "--webui-mcp-proxy",
			"--path", "--log-file", "--slot-save-path", "--chat-template-file", "--grammar-file", "--json-schema-file", "-jf", "--media-path",
			"--api-key", "--api-key-file", "--ssl-key-file", "--ssl-cert-file", "--rpc", "--reuse-port", "--models-dir", "--models-preset",
			"--lora", "--lora-scaled", "--control-vector", "--lookup-cache-dynamic", "-lcd", "--props", "--cors-origins", "--hf-token", "-hft",
		},
		HostFlag: "--host", PortFlag: "--port", SocketFlag: "--host", KeyEnv: "LLAMA_API_KEY",
		// The sizes of buffers are printed from this verbosity on.
		Args: [][]string{{"--log-verbosity", "4"}, {"--offline"}, {"--no-webui"}, {"--metrics"}, {"--log-colors", "off"}},
		// Without cors-origins it would reflect every origin.
		Env:    map[string]string{"LLAMA_ARG_CORS_ORIGINS": "localhost"},
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{
			sign(sidecar.BadModel, "", `error loading model( hyperparameters| vocabulary| architecture)?: `),
			sign(sidecar.BadModel, "", `failed to open GGUF file|gguf_init_from_file.*(?:failed|invalid)`),
		},
	}
}
