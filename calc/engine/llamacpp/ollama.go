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
	// minor and patch are the release's, for which architectures it runs
	// without llama.cpp.
	minor, patch int
}

// ownSince are the releases of Ollama (0.minor.patch) from which on it ran an
// architecture in an engine of its own, up to 0.30. (fs/ggml/ggml.go
// OllamaEngineRequired)
var ownSince = map[string][2]int{
	"gemma3": {6, 5}, "mistral3": {6, 5}, "llama4": {6, 7}, "mllama": {7, 0}, "qwen25vl": {7, 0}, "gemma3n": {9, 5}, "gptoss": {10, 2}, "gpt-oss": {11, 5},
	"qwen3": {12, 6}, "qwen3moe": {12, 2}, "qwen3vl": {12, 7}, "qwen3vlmoe": {12, 7}, "deepseek2": {13, 0}, "deepseekocr": {13, 0}, "olmo3": {13, 4},
	"bert": {13, 5}, "nomic-bert": {13, 1}, "glm4moelite": {14, 3}, "lfm2": {14, 3}, "qwen3next": {15, 5}, "glmocr": {15, 5},
	"nemotron_h": {17, 1}, "nemotron_h_moe": {17, 1}, "qwen35": {17, 1}, "qwen35moe": {17, 1}, "lfm2moe": {17, 1}, "gemma4": {20, 0}, "laguna": {22, 0},
}

// own reports whether Ollama's engine runs the architecture.
func (in *inside) own(arch string) bool {
	since, listed := ownSince[arch]
	return in.runner && listed && (in.minor > since[0] || in.minor == since[0] && in.patch >= since[1])
}

// asOwn changes the rules to those of Ollama's engine, as far as they are
// known: one cache for all sequences, a row of logits for each of them, and
// inputs apart. (kvcache/causal.go, runner/ollamarunner)
func (r *rules) asOwn() {
	r.alwaysUnified, r.serverRows, r.outsideInputs = true, true, true
	r.wideMask, r.lateCast, r.embdInput, r.oldPadding = true, false, false, false
}

// ownWindow is how many tokens of a window Ollama's engine keeps for each
// sequence: one more where there are several, at least 4096 for gpt-oss, and
// all of the chunks of Llama 4.
func (s *settings) ownWindow(m *model.Model, window int64) int64 {
	if m.Arch == "llama4" {
		return s.nCtxSeq
	}
	if s.nSeq > 1 {
		window++
	}
	if m.Arch == "gpt-oss" {
		return max(window, 4096)
	}
	return window
}

// ownMeasured are the architectures whose buffers in Ollama's engine were
// measured to be as planned; others may have another graph there.
var ownMeasured = map[string]bool{"qwen3": true, "qwen3moe": true, "gemma3": true, "gpt-oss": true}

// ollamaReleases are the releases of Ollama from which on another rule of
// llama.cpp holds, newest first. Before 0.30 Ollama names commits, not builds:
// what stands here is the newest rule that its copy follows (Makefile.sync and
// llama/llama.cpp; from 0.30 on LLAMA_CPP_VERSION).
var ollamaReleases = []struct {
	minor, patch int
	inside
}{
	{32, 15, inside{version: "b10488"}},
	{30, 4, inside{version: "b9493"}},
	{30, 0, inside{version: "b9452"}},
	{13, 2, inside{version: "b" + strconv.Itoa(buildPadding), runner: true}},
	{11, 5, inside{version: "b" + strconv.Itoa(buildStreams), runner: true}},
	{6, 7, inside{version: "b" + strconv.Itoa(buildLatent), runner: true}},
	{0, 0, inside{version: "b" + strconv.Itoa(buildLatent-1), runner: true}},
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
			in := r.inside
			in.minor, in.patch = n[1], n[2]
			return in, nil
		}
	}
	return inside{}, nil // the last takes all
}
