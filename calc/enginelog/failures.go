package enginelog

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
)

// Kinds of failures.
const (
	OutOfMemory  = "out_of_memory"
	PortInUse    = "port_in_use"
	BadModel     = "bad_model"
	DoesNotStart = "does_not_start"
)

// Failure is why a start, or a server that had started, failed.
type Failure struct {
	// Kind is one of the kinds above.
	Kind string
	// Stage is what it was doing: start, load, profile, cache, run.
	Stage string
	Cause string
	// Short is how much memory was missing, 0 when the log does not say.
	Short engine.Bytes
	// Fits is the longest context that the engine itself says would fit.
	Fits int64
	Line int
	// Host marks system memory as what ran out.
	Host bool
}

// fail keeps the first cause: what follows is mostly its consequence. A cause
// that is understood takes the place of one that is not, and one that says how
// much was missing that of one that does not.
func (r *reading) fail(f Failure) {
	if old := r.Failure; old != nil && old.Kind != DoesNotStart && (f.Kind != old.Kind || old.Short > 0 || f.Short <= 0) {
		return
	}
	if f.Kind == DoesNotStart && r.Failure != nil {
		return
	}
	f.Line = r.line
	r.Failure = &f
}

// now is the stage that the engine is at, unless the log began later.
func (r *reading) now(unless string) string {
	if r.stage == "" {
		return unless
	}
	return r.stage
}

// failures are lines that any engine may print, from its libraries.
var failures = []rule{
	on(`out of memory\. Tried to allocate ([\d.]+) ([GMK]i?B)(.*)`, func(r *reading, m []string) {
		r.torch(sized(m[1], m[2]), m[3])
	}),
	on(`CUDA out of memory|HIP out of memory|XPU out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: OutOfMemory, Stage: r.now("run"), Cause: "the device had no memory left"})
	}),
	on(`exitcode: -9|exit code -9|exit code: -9|exit code 137|signal: killed|SIGKILL`, func(r *reading, m []string) {
		r.fail(Failure{Kind: OutOfMemory, Stage: r.now("load"), Host: true,
			Cause: fmt.Sprintf("the system ended a process of the engine (%s), which it does when system memory runs out", m[0])})
	}),
	on(`address already in use|Address already in use|couldn't bind HTTP server socket|Only one usage of each socket address`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: PortInUse, Stage: "start", Cause: "another process listens on the port"})
	}),
	on(`kIOGPUCommandBufferCallbackErrorOutOfMemory`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: OutOfMemory, Stage: r.now("run"), Cause: "Metal had no memory left for a command buffer"})
	}),
	on(`error loading model: (.+)|unknown model architecture.*|Model architectures .* are not supported.*|Unrecognized model.*|failed to open GGUF file.*|does not appear to have a file named config\.json|is not a valid model identifier|Repository Not Found|[Aa]ccess to model \S+ is restricted`, func(r *reading, m []string) {
		if strings.Contains(m[0], "unable to allocate") || strings.Contains(m[0], "out of memory") {
			return // memory, which other rules read
		}
		r.fail(Failure{Kind: BadModel, Stage: "load", Cause: "the engine could not read the model: " + clip(m[0])})
	}),
	on(`(?:^|[\])}] +|: )(?:[\w.]+\.)?([A-Z][A-Za-z]*(?:Error|Exception)): (.+)$`, func(r *reading, m []string) {
		if r.python() && !r.Started && !strings.Contains(m[2], "root cause") {
			r.fail(Failure{Kind: DoesNotStart, Stage: r.now("start"), Cause: clip(m[1] + ": " + m[2])})
		}
	}),
	on(`(?:GGML_ASSERT\(|panic: |fatal error: |error while handling argument|error: invalid argument: |exiting due to ).*`, func(r *reading, m []string) {
		if r.byBuffer() && !r.Started {
			r.fail(Failure{Kind: DoesNotStart, Stage: r.now("start"), Cause: clip(m[0])})
		}
	}),
}

// python reports whether the engine's failures are Python's exceptions.
func (r *Report) python() bool { return !r.byBuffer() && r.Engine != "mistral.rs" }

// clip keeps the beginning of a text that a failure quotes.
func clip(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 240 {
		s = strings.ToValidUTF8(s[:240], "") + "…"
	}
	return s
}

// parts are the figures of PyTorch's message: what is free, and of how much.
var (
	torchFree  = on(`([\d.]+) ([GMK]i?B|bytes) (?:is )?free`, nil)
	torchTotal = on(`total capacity of ([\d.]+) ([GM]i?B)|([\d.]+) ([GM]i?B) total capacity`, nil)
)

// torch reads what PyTorch says after "Tried to allocate".
func (r *reading) torch(want engine.Bytes, rest string) {
	if m := torchTotal.match(rest); m != nil {
		r.DeviceBytes = sized(m[1]+m[3], m[2]+m[4])
	}
	f := Failure{Kind: OutOfMemory, Stage: r.now("run"), Cause: fmt.Sprintf("PyTorch asked for %s of the device", want)}
	if m := torchFree.match(rest); m != nil {
		free := sized(m[1], m[2])
		f.Cause = fmt.Sprintf("PyTorch asked for %s and %s were free", want, free)
		if free < want {
			f.Short = want - free
		} else {
			f.Cause += ", but not in one piece"
		}
	}
	r.fail(f)
}

// finish settles what only the whole log says.
func (r *reading) finish() *Report {
	if n, ok := r.Flags["n_ctx"].(int64); ok && r.ContextTokens == 0 {
		r.ContextTokens = n / max(1, r.Sequences)
		r.Lines["context_tokens"] = r.Lines["n_ctx"]
	}
	if f := r.Failure; f != nil && r.wanted.bytes > 0 && f.Kind == OutOfMemory && f.Short == 0 {
		r.explainBuffer(f)
	}
	return r.Report
}

// explainBuffer says which buffer could not be had and, where the log says
// what was free, by how much.
func (r *reading) explainBuffer(f *Failure) {
	what := map[string]string{"load": "of weights", "cache": "of the cache", "profile": "for computing"}[f.Stage]
	f.Host = f.Host || engine.HostBuffer(r.wanted.on)
	f.Cause = strings.Join(strings.Fields(fmt.Sprintf("a buffer %s of %s does not fit on %s", what, r.wanted.bytes, r.wanted.on)), " ")
	var free, taken engine.Bytes
	for _, d := range r.Devices {
		if d.ID == r.wanted.on {
			free = d.Free
		}
	}
	for i := range r.Actual {
		if r.Actual[i].On == r.wanted.on {
			taken += r.Actual[i].Bytes
		}
	}
	switch left := free - taken; {
	case free == 0:
	case left < r.wanted.bytes:
		f.Short = r.wanted.bytes - max(0, left)
		f.Cause += fmt.Sprintf(", where %s were free", max(0, left))
	default:
		f.Cause += fmt.Sprintf(", though %s should have been free: another process took memory, or it is not in one piece", left)
	}
}
