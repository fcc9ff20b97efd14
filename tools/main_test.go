package tools_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// standInEnv makes the test binary a stand-in of vLLM: its value is the file
// with the options that vllm serve knows.
const standInEnv = "STAND_IN_VLLM"

// TestMain keeps the tests off the network. With a text beside its file it is a
// program that prints it, for the tests where no script can be one.
func TestMain(m *testing.M) {
	if options := os.Getenv(standInEnv); options != "" {
		os.Exit(standIn(options))
	}
	if path, err := os.Executable(); err == nil {
		if text, err := os.ReadFile(path + ".txt"); err == nil {
			fmt.Print(string(text))
			os.Exit(1)
		}
	}
	os.Setenv("HF_HUB_OFFLINE", "1")
	os.Exit(m.Run())
}

// standIn prints what vLLM 0.19 prints of a start and answers as it does. The
// figures are those that llm-d-planner published of an H100 with
// Llama-3.1-8B-Instruct (testdata/observations/vllm.jsonl), but for what is
// outside PyTorch: 0.25 GiB there, 1.25 here, as if this machine were another.
func standIn(options string) int {
	args := os.Args[1:]
	switch {
	case slices.Contains(args, "--version"):
		fmt.Println("0.19.0")
		return 0
	case slices.Contains(args, "--help"), slices.Contains(args, "--help=all"):
		text, err := os.ReadFile(options)
		if err != nil {
			return 1
		}
		for line := range strings.Lines(string(text)) {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, "-") {
				fmt.Println(strings.TrimSuffix(name, "=") + " X  text")
			}
		}
		return 0
	}
	fmt.Print(`INFO vLLM API server version 0.19.0
Model loading took 14.99 GiB memory and 5.4 seconds
Available KV cache memory: 57.11 GiB
GPU KV cache size: 467,824 tokens
Maximum concurrency for 8,192 tokens per request: 57.11x
Graph capturing finished in 10 secs, took 0.91 GiB
Free memory on device (78.66/79.19 GiB) on startup. Desired GPU memory utilization is (0.95, 75.23 GiB). Actual usage is 14.99 GiB for weight, 1.89 GiB for peak activation, 1.25 GiB for non-torch memory, and 0.91 GiB for CUDAGraph memory.
Application startup complete
`)
	i := slices.Index(args, "--uds")
	if i < 0 || i+1 == len(args) {
		return 2
	}
	l, err := net.Listen("unix", args[i+1])
	if err != nil {
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+os.Getenv("VLLM_API_KEY") {
			http.Error(w, `{"error":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"meta-llama/Llama-3.1-8B-Instruct"}]}`)
	})
	if http.Serve(l, mux) != nil {
		return 1
	}
	return 0
}
