package transformers

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// Newest is the release planned for when the caller names none.
const Newest = "5.17.0"

// release is a version as one number: 4.45.2 is 4045002.
type release int64

// The releases at which memory rules changed.
const (
	// lastToken: generate() asks the model for the logits of the last token
	// (pull request 31292, num_logits_to_keep).
	lastToken release = 4_045_000
	// slidingLayers: dynamic caches drop what a window no longer sees; before,
	// only hybrid and static caches did.
	slidingLayers release = 4_056_000
	// storedDtype: from_pretrained keeps the checkpoint's dtype; before, it
	// loaded float32 unless told otherwise.
	storedDtype release = 5_000_000
)

func parseVersion(s string) (release, string, error) {
	v := strings.TrimPrefix(strings.TrimSpace(s), "v")
	if v == "" || v == "latest" {
		v = Newest
	}
	var n [3]int64
	for i, part := range strings.SplitN(v, ".", 3) {
		end := 0
		for end < len(part) && end < 4 && part[end] >= '0' && part[end] <= '9' {
			end++
		}
		x, err := strconv.ParseInt(part[:end], 10, 64)
		if err != nil || x > 999 {
			return 0, "", model.Errorf(model.InvalidArgument, "engine_version", "%q is not a transformers release", s).
				WithHint("write one such as %s", Newest)
		}
		n[i] = x
	}
	return release(n[0]*1_000_000 + n[1]*1000 + n[2]), v, nil
}
