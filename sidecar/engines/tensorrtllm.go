package engines

import (
	"hwledger/sidecar"
)

// tensorrtLLM is trtllm-serve; its ranks are MPI processes of the same group.
func tensorrtLLM() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "trtllm-serve", Plans: "tensorrt-llm", Programs: []string{"trtllm-serve"},
		VersionArgs: []string{"--version"}, Version: numbered, HelpArgs: [][]string{{"serve", "--help"}, {"--help"}},
		Refused:  []string{"--trust_remote_code", "--extra_llm_api_options", "--metadata_server_config_file", "--server_role", "--tokenizer"},
		HostFlag: "--host", PortFlag: "--port",
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "", `cannot allocate .*for KV cache|insufficient memory for KV cache|OutOfMemoryError`),
		},
	}
}
