package sglang

import (
	"fmt"
	"strings"
)

// version is a release of SGLang.
type version struct{ major, minor, patch int }

// newest is the release that unknown and unnamed versions are planned as.
var newest = version{0, 5, 13}

// The releases at which a memory rule changed. The rules are read from
// sources, but no source that was read names the release: the gates are
// estimates of it.
var (
	// reservedFraction: mem_fraction_static is what a sum of reserved parts
	// leaves; before, it was a table by tensor-parallel ranks.
	reservedFraction = version{0, 5, 0}
	// gemmaPools: sliding layers of Gemma 2 and 3 have a pool of their own;
	// before, hybrid memory was switched off for them.
	gemmaPools = version{0, 5, 6}
	// packedWorkspace: fp4 caches share one fp8 buffer of a layer's size, into
	// which prefill unpacks.
	packedWorkspace = version{0, 5, 13}
	// unchunkedReserve: without chunked prefill, max_prefill_tokens stands for
	// the chunk in the reserved part.
	unchunkedReserve = version{0, 5, 13}
)

// parseVersion reads "0.5.2", "v0.4.9.post1". It returns newest and false when
// s names no release.
func parseVersion(s string) (version, bool) {
	var v version
	n, _ := fmt.Sscanf(strings.TrimPrefix(strings.TrimSpace(s), "v"), "%d.%d.%d", &v.major, &v.minor, &v.patch)
	if n < 2 || v.major != 0 || v.minor < 0 || v.patch < 0 {
		return newest, false
	}
	return v, true
}

// atLeast reports whether v is w or later.
func (v version) atLeast(w version) bool {
	if v.major != w.major {
		return v.major > w.major
	}
	if v.minor != w.minor {
		return v.minor > w.minor
	}
	return v.patch >= w.patch
}

// String returns "0.5.13".
func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch) }
