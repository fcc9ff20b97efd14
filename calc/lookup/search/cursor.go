package search

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"strings"

	"hwledger/calc/model"
)

// cursor is where a search goes on: a window of models and a place in it. The
// first window is this machine, the catalogue and the Hub's first page, each
// other one a page of the Hub.
type cursor struct {
	// Query and Near are prints of the query, and of what this machine and
	// the catalogue have for it.
	Query string `json:"q"`
	Near  string `json:"n"`
	// Hub reports that the Hub is part of the search, Page its page's
	// continuation.
	Hub    bool   `json:"h,omitempty"`
	Page   string `json:"p,omitempty"`
	Offset int    `json:"o"`
}

// Bounds of a cursor.
const (
	maxCursor = 4096
	maxOffset = 1 << 20
	sumBytes  = 6
)

// encode returns the cursor as callers see it: a checksum and its fields.
func (c cursor) encode() (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(sum[:sumBytes], b...)), nil
}

// decodeCursor reads a cursor that encode wrote for the same query. The
// checksum finds damage; whoever forges one gets no more than another page of
// the Hub's public list.
func decodeCursor(s, query string) (cursor, error) {
	var c cursor
	if len(s) > maxCursor {
		return c, badCursor("is longer than any that was given out")
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < sumBytes {
		return c, badCursor("is not one that was given out")
	}
	if sum := sha256.Sum256(b[sumBytes:]); string(sum[:sumBytes]) != string(b[:sumBytes]) {
		return c, badCursor("was changed or cut short")
	}
	if err := json.Unmarshal(b[sumBytes:], &c); err != nil || c.Offset < 0 || c.Offset > maxOffset || c.Page != "" && !c.Hub {
		return c, badCursor("is not one that was given out")
	}
	if c.Query != query {
		return c, badCursor("belongs to another search")
	}
	return c, nil
}

func badCursor(what string) error {
	return model.Errorf(model.InvalidArgument, "cursor", "the cursor %s", what).
		WithHint("pass next_cursor unchanged, with the same query and filters; or leave cursor out to begin again")
}

// fingerprint returns a short print of the parts.
func fingerprint(parts ...string) string {
	h := fnv.New64a()
	h.Write([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h.Sum(nil))
}
