package vllm

import (
	"strconv"
	"strings"
)

// version is a vLLM release as far as memory rules depend on it.
type version struct{ major, minor, patch int }

// newest is the release that unknown and unnamed versions are planned as.
var newest = version{0, 29, 0}

// The releases at which a memory rule changed. Facts are from release sources
// and from what logs of each release print.
var (
	// v1Default: the V1 engine replaced V0 (null block, sampler in the profile).
	v1Default = version{0, 8, 0}
	// V0 was removed, and with it the encoder-decoders for text.
	v0Removed = version{0, 11, 0}
	// largeDefaults: devices of 70 GiB and more got larger batch defaults.
	largeDefaults = version{0, 8, 5}
	// hybridManager: sliding and chunked layers got their own block tables.
	hybridManager = version{0, 9, 1}
	// chunkedHybrid: chunked layers are bounded too; before, they were full.
	chunkedHybrid = version{0, 12, 0}
	// tritonExperts: MXFP4 experts run on Triton kernels on Hopper, Marlin
	// before; tritonHidden: their hidden size is padded too.
	tritonExperts = version{0, 11, 0}
	tritonHidden  = version{0, 17, 0}
	// tritonSampler: the profiled sampler no longer sorts the vocabulary.
	tritonSampler = version{0, 17, 0}
	// budgetedGraphs: CUDA graphs are estimated and taken out of the budget,
	// the logged token count became concurrency × max_model_len, and the
	// default utilization rose from 0.90 to 0.92.
	budgetedGraphs = version{0, 21, 0}
	// paddedPages: attention pages that do not divide the largest are padded.
	paddedPages = version{0, 21, 0}
	// hybridPrefixCaching: prefix caching is on by default for models with
	// recurrent layers, which makes them keep two states.
	hybridPrefixCaching = version{0, 27, 0}
)

// parseVersion reads "0.19.0", "v0.11.2.dev690+g67475a6e8", "0.6.x". It
// returns newest and false when s names no release: empty, "latest", or a
// source build without tags ("0.1.dev1+g…").
func parseVersion(s string) (version, bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "v")
	parts := strings.SplitN(s, ".", 4)
	if len(parts) < 2 {
		return newest, false
	}
	major, ok1 := leadingInt(parts[0])
	minor, ok2 := leadingInt(parts[1])
	if !ok1 || !ok2 || major > 0 {
		return newest, false
	}
	v := version{major: major, minor: minor}
	if len(parts) > 2 {
		if strings.HasPrefix(parts[2], "dev") && minor <= 1 {
			return newest, false
		}
		v.patch, _ = leadingInt(parts[2])
	}
	return v, true
}

// leadingInt returns the number that s starts with.
func leadingInt(s string) (int, bool) {
	i := 0
	for i < len(s) && i < 6 && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.Atoi(s[:i])
	return n, err == nil
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

// String returns "0.29.0".
func (v version) String() string {
	return strconv.Itoa(v.major) + "." + strconv.Itoa(v.minor) + "." + strconv.Itoa(v.patch)
}
