package quant

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// exllama returns EXL2 or EXL3 at an average number of bits for a weight, with
// headBits for the output projection. The average already holds EXL2's scales;
// EXL3 adds a half-precision vector along each side of a matrix. Embeddings
// and norms stay half precision.
func exllama(version string, bpw, headBits float64) *matrices {
	size := func(bpw float64) func(out, in int64) int64 {
		return func(out, in int64) int64 {
			n := int64(float64(out) * float64(in) * bpw / 8)
			if version == "exl3" {
				n += 2 * (out + in)
			}
			return n
		}
	}
	name := version + "-" + strconv.FormatFloat(bpw, 'f', -1, 64) + "bpw"
	if headBits != 6 {
		name += "-h" + strconv.FormatFloat(headBits, 'f', -1, 64)
	}
	head := size(headBits)
	return &matrices{
		name: name, bits: bpw, typ: strings.ToUpper(version), size: size(bpw),
		covers: func(m *model.Model, t *model.Tensor) bool { return t.Part == model.Head || linear(m, t) },
		special: func(t *model.Tensor) (string, func(out, in int64) int64, bool) {
			return strings.ToUpper(version), head, t.Part == model.Head
		},
	}
}

func exllamaNames() []string {
	var names []string
	for _, v := range [...]string{"exl2", "exl3"} {
		for _, b := range [...]string{"8", "6", "5", "4", "3", "2.5"} {
			names = append(names, v+"-"+b+"bpw")
		}
	}
	return names
}

// parseExllama reads "exl2", "exl2-4.25bpw", "exl3-3.5bpw-h8".
func parseExllama(s string) (Scheme, error) {
	version, rest, _ := strings.Cut(s, "-")
	if version != "exl2" && version != "exl3" {
		return nil, nil
	}
	bpw, head := 4.0, 6.0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "-")
		to := &bpw
		if h, ok := strings.CutPrefix(part, "h"); ok {
			part, to = h, &head
		}
		x, err := strconv.ParseFloat(strings.TrimSuffix(part, "bpw"), 64)
		if err != nil || !(x >= 1 && x <= 16) {
			return nil, nil
		}
		*to = x
	}
	return exllama(version, bpw, head), nil
}
