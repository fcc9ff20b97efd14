package engines

import (
	"hwledger/sidecar"
)

// sglang is SGLang's server. Its /health tells that it lives while it still
// warms up; the list of models comes with it, and a first token is not asked
// for, which would fill the cache of prefixes.
func sglang() *sidecar.Engine {
	return &sidecar.Engine{
		Name: "sglang", Plans: "sglang", Programs: []string{"python3", "python"},
		VersionArgs: []string{"-c", "import sglang; print(sglang.__version__)"}, Version: numbered,
		Lead:     []string{"-m", "sglang.launch_server"},
		HelpArgs: [][]string{{"-m", "sglang.launch_server", "--help"}},
		Refused: []string{
			"--trust-remote-code", "--api-key", "--admin-api-key", "--chat-template", "--tokenizer-path", "--download-dir", "--log-requests", "--file-storage-path",
			"--custom-sigquit-handler", "--enable-custom-logit-processor", "--crash-dump-folder", "--config", "--lora-paths", "-c",
		},
		HostFlag: "--host", PortFlag: "--port", KeyOption: "--config", KeyText: "api-key: ",
		Args:   [][]string{{"--enable-metrics"}},
		Health: "/health", Models: "/v1/models",
		Failures: []sidecar.Signature{
			sign(sidecar.OutOfMemory, "the weights and the pool need a larger share: raise mem_fraction_static", `not enough memory\. please try to increase --mem-fraction-static`),
			sign(sidecar.OutOfMemory, "what runs beside the pool had too little: lower mem_fraction_static", `capture cuda graph failed.*out of memory|cuda out of memory`),
		},
	}
}
