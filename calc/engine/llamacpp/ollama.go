package llamacpp

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Ollama returns Ollama, whose num_batch is both the batch and its part that
// is evaluated at once. Load.Version is Ollama's own.
func Ollama() engine.Engine {
	return &llama{name: "ollama", batch: 512, oneBatch: true, trained: true, inside: insideOllama}
}

// inside is the llama.cpp that a program has in it.
type inside struct {
	// version is a llama.cpp version whose rules hold.
	version string
	// runner: it is no llama-server but a program of its own on libllama, which
	// asks for embeddings, sliding caches of full size and a batch for each
	// sequence.
	runner bool
}

// ollamaReleases are the releases of Ollama from which on another rule of
// llama.cpp holds, newest first. Before 0.30 Ollama names commits, not builds:
// what stands here is the newest rule that its copy follows (Makefile.sync and
// llama/llama.cpp; from 0.30 on LLAMA_CPP_VERSION).
var ollamaReleases = []struct {
	minor, patch int
	inside
}{
	{32, 15, inside{"b10488", false}},
	{30, 4, inside{"b9493", false}},
	{30, 0, inside{"b9452", false}},
	{13, 2, inside{"b" + strconv.Itoa(buildPadding), true}},
	{11, 5, inside{"b" + strconv.Itoa(buildStreams), true}},
	{6, 7, inside{"b" + strconv.Itoa(buildLatent), true}},
	{0, 0, inside{"b" + strconv.Itoa(buildLatent-1), true}},
}

// insideOllama finds the llama.cpp in a release. What was built without a
// version calls itself 0.0.0, and is taken for the newest.
func insideOllama(release string) (inside, error) {
	v, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(release), "v"), "-")
	if v == "" || v == "latest" || v == "0.0.0" {
		return ollamaReleases[0].inside, nil
	}
	parts := strings.Split(v, ".")
	n := [3]int{}
	for i, p := range parts {
		x, err := strconv.Atoi(p)
		if err != nil || x < 0 || i >= len(n) || len(parts) < 2 {
			return inside{}, model.Errorf(model.InvalidArgument, "engine_version", "%q is not a version of Ollama", release).WithHint("write a release such as 0.32.15")
		}
		n[i] = x
	}
	for _, r := range ollamaReleases {
		if n[0] > 0 || n[1] > r.minor || n[1] == r.minor && n[2] >= r.patch {
			return r.inside, nil
		}
	}
	return inside{}, nil // the last takes all
}
