package engines

import (
	"hwledger/sidecar"
)

// tgi is text-generation-launcher, which starts shards and a router. It drains
// its requests when it is asked to end.
func tgi() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "tgi", Plans: "tgi", Programs: []string{"text-generation-launcher"},
		VersionArgs: []string{"--version"}, Version: numbered, HelpArgs: [][]string{{"--help"}},
		Refused: []string{
			"--trust-remote-code", "--api-key", "--huggingface-hub-cache", "--weights-cache-override", "--tokenizer-config-path", "--shard-uds-path",
			"--otlp-endpoint", "--cors-allow-origin", "--lora-adapters", "--env",
		},
		HostFlag: "--hostname", PortFlag: "--port", KeyEnv: "API_KEY",
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "", `not enough memory to handle \d+ (?:prefill|total) tokens`),
			sign(sidecar.BadModel, "", `unsupported model type|shard cannot start.*RepositoryNotFound`),
		},
	}
}
