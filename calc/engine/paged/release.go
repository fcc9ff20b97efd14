package paged

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
)

// Release is an engine's version as far as memory rules depend on it: major,
// minor and patch.
type Release [3]int

// ParseRelease reads "3.3.7", "v1.2.0rc3", "0.13.0.dev2024082000". It returns
// false when s names no release: empty, "latest", a commit.
func ParseRelease(s string) (Release, bool) {
	var r Release
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "v")
	parts := strings.SplitN(s, ".", 4)
	if len(parts) < 2 {
		return r, false
	}
	for i := range min(len(parts), len(r)) {
		n, ok := leadingInt(parts[i])
		if !ok && i < 2 {
			return Release{}, false
		}
		r[i] = n
	}
	return r, true
}

// leadingInt returns the number of at most five digits that s starts with.
func leadingInt(s string) (int, bool) {
	i := 0
	for i < len(s) && i < 5 && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.Atoi(s[:i])
	return n, err == nil
}

// AtLeast reports whether r is w or later.
func (r Release) AtLeast(w Release) bool {
	for i := range r {
		if r[i] != w[i] {
			return r[i] > w[i]
		}
	}
	return true
}

// String returns "3.3.7".
func (r Release) String() string {
	return strconv.Itoa(r[0]) + "." + strconv.Itoa(r[1]) + "." + strconv.Itoa(r[2])
}

// ResolveRelease reads the version that a load names, newest when it names
// none that is known, and records in u what was taken.
func ResolveRelease(u *engine.Usage, given string, newest Release) Release {
	r, ok := ParseRelease(given)
	if ok {
		u.Version = strings.TrimPrefix(strings.TrimSpace(given), "v")
		return r
	}
	why := "not given; the newest known"
	if given != "" {
		why = "the version given is not a release that is known; planned as the newest"
	}
	u.Assume("engine_version", newest.String(), why)
	u.Version = newest.String()
	return newest
}
