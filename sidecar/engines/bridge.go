package engines

import (
	"hwledger/sidecar"
)

// The bridges are helpers that speak the protocol of package protocol, made by
// sidecar/helpers.

// llamaBridge wraps llama-server.
func llamaBridge() *sidecar.Engine {
	return &sidecar.Engine{Name: "llama-bridge", Plans: "llama.cpp", Talk: sidecar.Stdio, Programs: []string{"python3"}}
}

// mlxBridge is MLX in a Python environment.
func mlxBridge() *sidecar.Engine {
	return &sidecar.Engine{Name: "mlx-bridge", Plans: "mlx", Talk: sidecar.Stdio, Programs: []string{"python3"}, Failures: []sidecar.Signature{mlxFailure}}
}

// transformersBridge is transformers in a Python environment.
func transformersBridge() *sidecar.Engine {
	return &sidecar.Engine{Name: "transformers-bridge", Plans: "transformers", Talk: sidecar.Stdio, Programs: []string{"python3"}}
}
