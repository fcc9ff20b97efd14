// Command accuracy plans every row of a file of records with this repository's
// planner and prints how far it is from what the engine itself reported. It
// understands, by the fields of each line: starts of vLLM and SGLang servers
// (cache bytes per token, weights, capacity, concurrency, activation, all that
// is not cache); what llama.cpp
// reported for a header and a setting, and llama-quantize for a file type
// (testdata/README.md); users' logs of llama.cpp and its relatives.
//
//	go run ./internal/accuracy [--models DIR] [--json|--markdown|--compact] FILE…
//
// A file holds one JSON object per line and may be compressed (gzip). Missing
// fields are allowed. Models of server logs come from the embedded catalogue, or from a
// directory of config.json files; names of quantized repositories are matched
// to the model they were made from.
package main

import (
	"os"

	"hwledger/internal/scoring"
)

func main() {
	os.Exit(scoring.Run(os.Args[1:], os.Stdout, os.Stderr))
}
