package llamacpp

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// Newest is the version planned for when the caller names none.
const Newest = "0.7.0"

// rules are what changed between versions and matters for memory.
type rules struct {
	version string
	// mixedInputs: the graph always has a second path for ready-made
	// embeddings (0.7.0).
	mixedInputs bool
	// earlyRows: all architectures drop unwanted rows in the last layer.
	earlyRows bool
	// latentValues: latent attention also keeps its values (before b7820).
	latentValues bool
	// plainLatent: latent attention keeps keys and values by head, whatever the
	// file (before b5130, pull request 12801).
	plainLatent bool
	// alwaysUnified: all sequences share one cache (before b5900; split caches
	// came in mid-July 2025 with pull request 14363).
	alwaysUnified bool
	// scratch: CUDA's flash attention reserves f16 copies of a whole quantized
	// cache behind its result (b9480 and later, pull request 23907; b9525 of
	// 2026-06-05 has it).
	scratch bool
	// wideMask: masks are made as f32 on the host and cast for flash
	// attention (before b9400).
	wideMask bool
	// lateCast: that cast comes where the first layer reads the mask, not before
	// it writes its rows (before b7700).
	lateCast bool
	// oldPadding: cells are padded to 32, or 256 with flash attention, and
	// n_ctx is not (before b7000).
	oldPadding bool
	// embdInput: ready-made embeddings are always an input of the graph
	// (b7700 and later).
	embdInput bool
	// rowIndex: cache rows are written by index, which takes an input
	// (b5800 and later).
	rowIndex bool
	// flashFlag: -fa is a switch without a value (before b6325, pull request
	// 15434 of August 2025; 15746 of September names on, off and auto).
	flashFlag bool
	// fits: options that are left open are changed to fit the devices, unless
	// --fit off forbids it (b7407 and later, pull request 16653 of December 2025).
	fits bool
	// outsideInputs: inputs are no part of the compute buffer (Ollama's engine).
	outsideInputs bool
	// serverRows: llama-server reserves logits for its slots only, and takes
	// unified slots when not told how many (b9400 and later).
	serverRows bool
}

// The builds at which rules change. Semantic versions start after b10500; the
// 0.7.0 that was measured is build 11669.
const (
	buildLatent   = 5130
	buildIndex    = 5800
	buildStreams  = 5900
	buildFlash    = 6325
	buildPadding  = 7000
	buildFit      = 7407
	buildEmbd     = 7700
	buildValues   = 7820
	buildNarrow   = 9400
	buildScratch  = 9480
	buildSemantic = 10500
	build070      = 11669
)

// rulesFor returns the rules of a version written as "b8999", "8999",
// "0.5.0" or "v0.7.0"; "" is Newest.
func rulesFor(version string) (rules, error) {
	v := strings.TrimPrefix(strings.TrimSpace(version), "v")
	if v == "" || v == "latest" {
		v = Newest
	}
	build, ok := buildOf(v)
	if !ok {
		return rules{}, model.Errorf(model.InvalidArgument, "engine_version", "%q is not a llama.cpp version", version).
			WithHint("write a build such as b8999 or a release such as %s", Newest)
	}
	return rules{
		version:       v,
		mixedInputs:   build >= build070,
		earlyRows:     build >= build070,
		latentValues:  build < buildValues,
		alwaysUnified: build < buildStreams,
		plainLatent:   build < buildLatent,
		scratch:       build >= buildScratch,
		wideMask:      build < buildNarrow,
		lateCast:      build < buildEmbd,
		oldPadding:    build < buildPadding,
		embdInput:     build >= buildEmbd,
		rowIndex:      build >= buildIndex,
		serverRows:    build >= buildNarrow,
		flashFlag:     build < buildFlash,
		fits:          build >= buildFit,
	}, nil
}

func buildOf(v string) (int, bool) {
	if n, err := strconv.Atoi(strings.TrimPrefix(v, "b")); err == nil && n > 0 && n < 1<<24 {
		return n, true
	}
	parts := strings.SplitN(v, ".", 3)
	if len(parts) < 2 {
		return 0, false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || major < 0 || minor < 0 {
		return 0, false
	}
	if major > 0 || minor >= 7 {
		return build070, true
	}
	return buildSemantic, true
}
