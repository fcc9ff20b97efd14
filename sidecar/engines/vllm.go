package engines

import (
	"hwledger/sidecar"
)

// vllm is vllm serve. It listens when the engine core, a process of its own,
// is up; the cause of a failed start is the core's, above the server's own
// traceback.
func vllm() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "vllm", Plans: "vllm", Programs: []string{"vllm"},
		VersionArgs: []string{"--version"}, Version: numbered, HelpArgs: [][]string{{"serve", "--help=all"}, {"serve", "--help"}},
		Refused: []string{
			"--trust-remote-code", "--api-key", "--chat-template", "--tool-parser-plugin", "--reasoning-parser-plugin", "--middleware", "--allowed-local-media-path",
			"--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--download-dir", "--config", "--log-config-file", "--logits-processors", "--worker-cls",
			"--worker-extension-cls", "--hf-config-path", "--tokenizer", "--lora-modules", "--enable-sleep-mode", "--root-path", "--allowed-origins",
		},
		HostFlag: "--host", PortFlag: "--port", SocketFlag: "--uds", KeyEnv: "VLLM_API_KEY",
		Env:    map[string]string{"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"},
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "", `to serve at least one request with the models?'s max seq len`),
			sign(sidecar.OutOfMemory, "", `is larger than the maximum number of tokens that can be stored in KV cache`),
			sign(sidecar.OutOfMemory, "", `free memory on device .* on startup is less than desired GPU memory utilization`),
			sign(sidecar.OutOfMemory, "", `no available memory for the cache blocks`),
			sign(sidecar.BadModel, "", `model architectures .* (?:are not supported|failed to be inspected)|cannot find any model weights`),
		},
	}
}
