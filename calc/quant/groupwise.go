package quant

import (
	"strconv"
	"strings"
)

// groupwise are the integer schemes whose weights share a scale, and in most a
// zero, with their group along the input. Sizes are those of MATH §5: GPTQ's
// group index, which engines drop unless activations were reordered, is left
// out.
var groupwise = []struct {
	name, typ   string
	bits, group int64
	// scale and zero are bits for each group; zero < 0 means the weight's own.
	scale, zero int64
	aliases     string
}{
	{"gptq", "GPTQ", 4, 128, 16, -1, "autogptq gptqmodel gptq-marlin auto-round autoround"},
	{"awq", "AWQ", 4, 128, 16, -1, "autoawq awq-marlin"},
	{"w4a16", "INT", 4, 128, 16, 0, "int4 compressed-tensors-int4 pack-quantized"},
	{"w8a16", "INT", 8, 128, 16, 0, ""},
	{"hqq", "HQQ", 4, 64, 16, 16, ""},
}

func groupwiseNames() []string {
	return []string{"awq", "gptq", "gptq-3bit", "gptq-8bit", "gptq-4bit-g32", "gptq-4bit-g64", "awq-4bit-g64", "w4a16", "w4a16-g32", "w8a16", "hqq", "hqq-8bit", "hqq-3bit", "hqq-2bit"}
}

func parseGroupwise(s string) (Scheme, error) {
	for i := range groupwise {
		g := &groupwise[i]
		for _, n := range append(strings.Fields(g.aliases), g.name) {
			rest, ok := strings.CutPrefix(s, n)
			if !ok || rest != "" && rest[0] != '-' {
				continue
			}
			if bits, group, ok := bitsAndGroup(rest, g.bits, g.group); ok {
				return newGroupwise(i, bits, group), nil
			}
		}
	}
	return nil, nil
}

// newGroupwise returns the i-th scheme of the table with other bits and group;
// a group of -1 is a whole row.
func newGroupwise(i int, bits, group int64) *matrices {
	g := groupwise[i]
	zero := g.zero
	if zero < 0 {
		zero = bits
	}
	name := g.name
	if bits != g.bits {
		name += "-" + strconv.FormatInt(bits, 10) + "bit"
	}
	if group != g.group {
		name += "-g" + strconv.FormatInt(group, 10)
	}
	nominal := float64(bits)
	if group > 0 {
		nominal += float64(g.scale+zero) / float64(group)
	}
	return &matrices{
		name: name, bits: nominal,
		typ: g.typ + strconv.FormatInt(bits, 10),
		size: func(out, in int64) int64 {
			groups := int64(1)
			if group > 0 {
				groups = ceilDiv(in, group)
			}
			return ceilDiv(out*in*bits, 8) + ceilDiv(out*groups*(g.scale+zero), 8)
		},
	}
}

// bitsAndGroup reads "-4bit-g64", "-int8", "-g32", "-gs128", "-gptq" suffixes
// in any order.
func bitsAndGroup(s string, bits, group int64) (b, g int64, ok bool) {
	b, g = bits, group
	for s != "" {
		var part string
		part, s, _ = strings.Cut(strings.TrimPrefix(s, "-"), "-")
		switch {
		case part == "g" || part == "": // "g-1", a trailing dash
			return 0, 0, false
		case strings.HasPrefix(part, "int"):
			b, ok = small(part[3:])
		case strings.HasPrefix(part, "gs"):
			g, ok = small(part[2:])
		case strings.HasPrefix(part, "g"):
			g, ok = small(strings.TrimPrefix(part[1:], "roup"))
		case strings.HasSuffix(part, "bits"):
			b, ok = small(strings.TrimSuffix(part, "bits"))
		case strings.HasSuffix(part, "bit"):
			b, ok = small(strings.TrimSuffix(part, "bit"))
		default:
			ok = false
		}
		if !ok || b < 2 || b > 8 || g < 8 {
			return 0, 0, false
		}
	}
	return b, g, true
}

// small reads a positive number of at most four digits.
func small(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int64(n), err == nil && n > 0
}
