package hfconfig

import "bytes"

// nonFinite are the literals that Python's json module writes for floats that
// JSON cannot express, such as the time_step_limit of Nemotron-H.
var nonFinite = [][]byte{[]byte("-Infinity"), []byte("Infinity"), []byte("NaN")}

// withoutNonFinite returns raw with those literals replaced by null. Texts
// are left alone.
func withoutNonFinite(raw []byte) []byte {
	if !bytes.Contains(raw, nonFinite[1]) && !bytes.Contains(raw, nonFinite[2]) {
		return raw
	}
	out := make([]byte, 0, len(raw))
	quoted := false
next:
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case quoted && b == '\\' && i+1 < len(raw):
			out = append(out, b)
			i++
		case b == '"':
			quoted = !quoted
		case !quoted:
			for _, lit := range nonFinite {
				if bytes.HasPrefix(raw[i:], lit) {
					out = append(out, "null"...)
					i += len(lit) - 1
					continue next
				}
			}
		}
		out = append(out, raw[i])
	}
	return out
}

// and returns d with every key of over added or replaced.
func (d defaults) and(over defaults) defaults {
	out := make(defaults, len(d)+len(over))
	for k, v := range d {
		out[k] = v
	}
	for k, v := range over {
		out[k] = v
	}
	return out
}
