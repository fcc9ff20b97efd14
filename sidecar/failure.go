package sidecar

import (
	"slices"
	"strings"
)

// common are signatures of libraries that several engines use, the most
// telling first. The texts are those that the programs print.
var common = []Signature{
	sign(OutOfMemory, "there was not enough memory", `out of memory|out of device memory|cudaMalloc failed|hipMalloc failed|VK_ERROR_OUT_OF_DEVICE_MEMORY|ErrorOutOfMemory|kIOGPUCommandBufferCallbackErrorOutOfMemory|insufficient memory|not enough memory|failed to allocate|unable to allocate|std::bad_alloc|MemoryError`),
	sign(PortInUse, "another process has its port", `address already in use|couldn't bind (?:HTTP )?server socket|only one usage of each socket address`),
	sign(BadOption, "it does not know an option", `(?:invalid|unknown|unrecognized|unexpected) (?:argument|option)|unrecognized arguments|error while handling argument`),
	sign(BadModel, "it could not read the model", `error loading model|failed to load model|unknown model architecture|unrecognized model|does not appear to have a file named|no such file or directory.*\.(?:gguf|safetensors)|invalid magic`),
}

// sign makes a signature of a pattern that ignores case.
func sign(kind, cause, pattern string) Signature {
	return Signature{Pattern: Lazy(`(?i)` + pattern), Kind: kind, Cause: cause}
}

// telling are lines worth showing with a failure.
var telling = Lazy(`(?i)error|fatal|panic|exception|abort|failed|GGML_ASSERT|Traceback|llama_init_from_model:`)

// retrying is a line after which an engine goes on with less.
const retrying = "retrying without pipeline parallelism"

// Limits of what a failure shows.
const (
	failureLines = 8
	failureLine  = 400
)

// diagnose finds out why an engine failed from what it printed. fallback is
// the cause when its log does not tell.
func diagnose(e *Engine, log, fallback string) *Failure {
	lines := strings.Split(log, "\n")
	all := append(slices.Clone(e.Failures), common...)
	// A model that could not be allocated is said to be one that could not be
	// loaded as well.
	slices.SortStableFunc(all, func(a, b Signature) int { return memoryFirst(a) - memoryFirst(b) })
	for _, s := range all {
		for i, line := range lines {
			if !s.Pattern().MatchString(line) || i+1 < len(lines) && strings.Contains(lines[i+1], retrying) || strings.Contains(line, retrying) {
				continue
			}
			f := &Failure{Kind: s.Kind, Cause: s.Cause, Permanent: s.Kind != PortInUse, Lines: around(lines, i)}
			if f.Cause == "" {
				f.Cause = clip(strings.TrimSpace(line))
			}
			return f
		}
	}
	f := &Failure{Kind: Crashed, Cause: fallback}
	for i := len(lines) - 1; i >= 0 && len(f.Lines) < failureLines; i-- {
		if telling().MatchString(lines[i]) {
			f.Lines = append([]string{clip(lines[i])}, f.Lines...)
		}
	}
	if len(f.Lines) == 0 {
		f.Lines = around(lines, len(lines)-2)
	}
	return f
}

func memoryFirst(s Signature) int {
	if s.Kind == OutOfMemory {
		return 0
	}
	return 1
}

// around returns the line at i, and of those before and after it the ones that
// tell something.
func around(lines []string, i int) []string {
	var out []string
	for at := max(0, i-3); at < min(len(lines), i+5); at++ {
		if l := strings.TrimSpace(lines[at]); l != "" && (at == i || telling().MatchString(l) || i >= len(lines)-2) {
			out = append(out, clip(l))
		}
	}
	return out[:min(len(out), failureLines)]
}

func clip(s string) string {
	if len(s) > failureLine {
		return strings.ToValidUTF8(s[:failureLine], "") + "…"
	}
	return s
}
