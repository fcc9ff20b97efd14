package probe

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// pattern returns a regular expression that is compiled when it is first used:
// most runs of the program read no tool's text.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// mostBytes bounds memory sizes that tools report: 1 EiB. What is larger is a
// sentinel or damage.
const mostBytes = 1 << 60

// integer reads a decimal number that is not negative.
func integer(s string) (int64, bool) {
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return v, err == nil && v >= 0
}

// size reads a number of bytes.
func size(s string) (int64, bool) {
	v, ok := integer(s)
	return v, ok && v <= mostBytes
}

// decimal reads the finite number at the start of s, with a unit after it or
// none: "11.17 W", "0 %", "48C".
func decimal(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.' || n == 0 && s[n] == '-') {
		n++
	}
	v, err := strconv.ParseFloat(s[:n], 64)
	return v, err == nil && !math.IsInf(v, 0)
}

// unavailable reports whether a tool says with s that it has no value.
func unavailable(s string) bool {
	switch strings.ToLower(strings.Trim(strings.TrimSpace(s), "[]")) {
	case "", "n/a", "na", "none", "null", "not supported", "unknown error", "not available", "unknown":
		return true
	}
	return false
}

// quantity is a number as vendors' tools put it in JSON: a number, a string
// with or without a unit, {"value": n, "unit": "MB"}, or a word for nothing.
type quantity struct {
	Value float64
	Unit  string
	OK    bool
}

// UnmarshalJSON reads any of the forms; what is none of them is not known.
func (q *quantity) UnmarshalJSON(b []byte) error {
	*q = quantity{}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if m, ok := v.(map[string]any); ok {
		q.Unit, _ = m["unit"].(string)
		v = m["value"]
	}
	switch v := v.(type) {
	case float64:
		q.Value, q.OK = v, true
	case string:
		if unavailable(v) {
			return nil
		}
		if q.Value, q.OK = decimal(v); q.OK && q.Unit == "" {
			q.Unit = strings.TrimLeft(strings.TrimSpace(v), "-0123456789. ")
		}
	}
	return nil
}

// bytes returns the quantity in bytes; a number without a unit counts units
// of def. Vendors' tools write MB for MiB.
func (q quantity) bytes(def string) (int64, bool) {
	unit := q.Unit
	if unit == "" {
		unit = def
	}
	scale := 0.0
	switch strings.ToUpper(unit) {
	case "B":
		scale = 1
	case "KB", "KIB":
		scale = 1 << 10
	case "MB", "MIB":
		scale = 1 << 20
	case "GB", "GIB":
		scale = 1 << 30
	}
	v := q.Value * scale
	return int64(v), q.OK && scale > 0 && v >= 0 && v <= mostBytes
}

// object returns the JSON value in what a tool printed, which may have
// warnings around it: from the first brace or bracket that starts one.
func object(out []byte) (json.RawMessage, bool) {
	for tries, at := 0, 0; at < len(out) && tries < 64; at++ {
		if out[at] != '{' && out[at] != '[' {
			continue
		}
		tries++
		var raw json.RawMessage
		if json.NewDecoder(bytes.NewReader(out[at:])).Decode(&raw) == nil && len(raw) > 2 {
			return raw, true
		}
	}
	return nil, false
}
