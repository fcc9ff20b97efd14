package hardware

import (
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/near"
)

// noise are words that vendors and drivers put around a name.
var noise = []string{
	"nvidia", "geforce", "amd", "instinct", "intel", "tesla", "graphics", "generation", "edition", "gpu", "gpus", "card",
	"hbm2", "hbm2e", "hbm3", "hbm3e", "core", "cores", "unified", "memory", "with", "class", "rtx", "gtx", "rx", "radeon",
	"apple", "mac", "macbook", "studio", "mini", "corporation", "inc", "tm", "r",
}

// glued are prefixes and suffixes written without a space before or after
// what they qualify.
var gluedPrefixes = []string{"geforce", "radeon", "nvidia", "quadro", "tesla", "apple", "rtx", "gtx", "arc", "rx"}
var gluedSuffixes = []string{"super", "ultra", "pcie", "sxm5", "sxm4", "sxm2", "sxm", "nvl", "max", "pro", "xtx", "gre", "xt", "ti"}

// tokens cuts a hardware name into comparable words: lower case, without
// noise, with glued words apart ("RTX4070Ti" is "4070" "ti") and memory sizes
// in one form ("80 GB", "80G" and "80GiB" are "80gb").
func tokens(s string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.')
	}) {
		out = appendWord(out, w)
	}
	return out
}

func appendWord(out []string, w string) []string {
	switch w {
	case "gb", "gib", "g":
		if n := len(out); n > 0 && digits(out[n-1]) {
			out[n-1] += "gb"
			return out
		}
	}
	for _, unit := range [...]string{"gib", "gb", "g"} {
		if n, ok := strings.CutSuffix(w, unit); ok && digits(n) {
			return append(out, n+"gb")
		}
	}
	for _, p := range gluedPrefixes {
		if rest, ok := strings.CutPrefix(w, p); ok && rest != "" && strings.ContainsAny(rest, "0123456789") {
			return appendWord(out, rest)
		}
	}
	for _, x := range gluedSuffixes {
		if rest, ok := strings.CutSuffix(w, x); ok && len(rest) > 1 && strings.ContainsAny(rest, "0123456789") {
			return appendWord(appendWord(out, rest), x)
		}
	}
	if w == "sxm" || w == "sxm2" || w == "sxm4" || w == "sxm5" {
		w = "sxm"
	}
	if slices.Contains(noise, w) {
		return out
	}
	return append(out, w)
}

func digits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Find returns the accelerator that name means. Spacing, hyphens, case and
// vendors' words do not count. A name that fits several variants is the one
// whose alias it is ("H100" is the SXM5 80 GB card), else an error that lists
// them; a chip sold with several memory sizes needs one.
func Find(name string) (Accelerator, error) {
	q := tokens(name)
	size, q := cutSize(q)
	if len(q) == 0 {
		return Accelerator{}, notFound(name)
	}
	match := candidates(q, size)
	if len(match) == 0 && size > 0 {
		if other := candidates(q, 0); len(other) > 0 {
			return Accelerator{}, wrongSize(name, size, other)
		}
	}
	switch {
	case len(match) == 0:
		return Accelerator{}, notFound(name)
	case len(match) > 1:
		e := model.Errorf(model.InvalidArgument, "hardware", "%q fits several accelerators", name)
		e.Candidates = names(match, size)
		return Accelerator{}, e.WithHint("use one of the candidates")
	}
	a := match[0]
	switch {
	case len(a.SizesGB) == 0:
		return *a, nil
	case size > 0:
		return a.sized(size), nil
	case len(a.SizesGB) == 1:
		return a.sized(a.SizesGB[0]), nil
	}
	e := model.Errorf(model.InvalidArgument, "hardware", "%s is sold with several memory sizes", a.Name)
	e.Candidates = names(match, 0)
	return Accelerator{}, e.WithHint("say which, for instance %q", e.Candidates[len(e.Candidates)-1])
}

// cutSize takes a memory size out of a list of words.
func cutSize(q []string) (int64, []string) {
	for i, w := range q {
		if n, ok := strings.CutSuffix(w, "gb"); ok && digits(n) {
			v, err := strconv.ParseInt(n, 10, 64)
			if err == nil {
				return v, slices.Concat(q[:i], q[i+1:])
			}
		}
	}
	return 0, q
}

// candidates returns the entries that q names with the given memory (0 for
// any): those of which it is a whole name or alias, else those whose name has
// all its words.
func candidates(q []string, size int64) []*Accelerator {
	var whole, part, aliased []*Accelerator
	all := All()
	for i := range all {
		a := &all[i]
		if a.aliasOf(q, size) {
			aliased = append(aliased, a)
		}
		if size > 0 && !a.has(size) {
			continue
		}
		words := a.spellings[0].words
		switch {
		case sameWords(q, words):
			whole = append(whole, a)
		case subset(q, words):
			part = append(part, a)
		case a.anyAlias(q):
			part = append(part, a)
		}
	}
	for _, set := range [][]*Accelerator{aliased, whole, part} {
		if len(set) > 0 {
			return set
		}
	}
	return nil
}

// aliasOf reports whether q and size together are one of a's aliases.
func (a *Accelerator) aliasOf(q []string, size int64) bool {
	for _, s := range a.spellings[1:] {
		if (s.gb == size || s.gb == 0 && a.has(size)) && sameWords(q, s.words) {
			return true
		}
	}
	return false
}

// anyAlias reports whether q is an alias of a, whatever the size.
func (a *Accelerator) anyAlias(q []string) bool {
	for _, s := range a.spellings[1:] {
		if sameWords(q, s.words) {
			return true
		}
	}
	return false
}

// has reports whether a has, or is sold with, gb of memory.
func (a *Accelerator) has(gb int64) bool {
	if len(a.SizesGB) > 0 {
		return slices.Contains(a.SizesGB, gb)
	}
	return int64(a.NominalGB) == gb || int64(a.NominalGB)*int64(a.Devices) == gb
}

func sameWords(a, b []string) bool { return len(a) == len(b) && subset(a, b) }

func subset(a, b []string) bool {
	for _, w := range a {
		if !slices.Contains(b, w) {
			return false
		}
	}
	return true
}

// names lists what to write for each of match, memory sizes included.
func names(match []*Accelerator, size int64) []string {
	var out []string
	for _, a := range match {
		if len(a.SizesGB) == 0 {
			out = append(out, a.Name)
		}
		for _, gb := range a.SizesGB {
			if size == 0 || gb == size {
				out = append(out, a.sized(gb).Name)
			}
		}
	}
	return out
}

func wrongSize(name string, size int64, have []*Accelerator) error {
	e := model.Errorf(model.HardwareNotFound, "hardware", "%q: there is no such accelerator with %d GB", name, size)
	e.Candidates = names(have, 0)
	return e.WithHint(`use a candidate, or give {"memory_bytes": %d}`, size<<30)
}

func notFound(name string) error {
	all := All()
	short := make([]string, len(all)) // compared without vendors' words
	full := make(map[string]string, len(all))
	for i := range all {
		short[i] = strings.Join(tokens(all[i].Name), "")
		full[short[i]] = all[i].Name
	}
	e := model.Errorf(model.HardwareNotFound, "hardware", "%q is not in the catalogue", name)
	for _, s := range near.Names(strings.Join(tokens(name), ""), short, 5) {
		e.Candidates = append(e.Candidates, full[s])
	}
	if len(e.Candidates) > 0 {
		return e.WithHint("use a candidate, or give memory_bytes and count")
	}
	return e.WithHint(`give the memory instead: {"memory_bytes": 25757220864, "count": 1}`)
}
