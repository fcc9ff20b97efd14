package mlx

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// Newest is the mlx-lm release planned for when the caller names none.
const Newest = "0.31.3"

// rules are what changed between mlx-lm releases and matters for memory.
type rules struct {
	version string
	// fused: prompts go through a fused attention kernel where the head size
	// has one (MLX 0.22, early 2025). Before, scores were always made, twice.
	fused bool
	// latent: MLA keeps its latent row instead of keys and values by head
	// (pull request 839, February 2026).
	latent bool
}

// rulesFor returns the rules of a release: "0.31.3", "v0.22". Releases of the
// other servers are read as the newest mlx-lm, which they contain.
func rulesFor(server, version string) (rules, error) {
	v := strings.TrimPrefix(strings.TrimSpace(version), "v")
	if v == "" || v == "latest" || server != serverLM {
		if v == "" && server == serverLM {
			v = Newest
		}
		return rules{version: v, fused: true, latent: true}, nil
	}
	parts := strings.SplitN(v, ".", 3)
	if len(parts) < 2 {
		return rules{}, badVersion(version)
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || major < 0 || minor < 0 {
		return rules{}, badVersion(version)
	}
	patch := 0
	if len(parts) > 2 {
		patch, _ = strconv.Atoi(strings.TrimRight(parts[2], "abcdefghijklmnopqrstuvwxyz.+-"))
	}
	n := major*1_000_000 + minor*1000 + patch
	return rules{version: v, fused: n >= 22_000, latent: n >= 30_006}, nil
}

func badVersion(version string) error {
	return model.Errorf(model.InvalidArgument, "engine_version", "%q is not an mlx-lm release", version).
		WithHint("write one such as %s", Newest)
}
