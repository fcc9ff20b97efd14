package tgi

import "hwledger/calc/engine/paged"

// newest is the last release; the project is in maintenance mode.
var newest = paged.Release{3, 3, 7}

// The releases at which a memory rule changed, read from the tags' sources.
var (
	// wiggle: part of the memory is left free.
	wiggle = paged.Release{1, 4, 5}
	// flashinfer: attention backends with blocks of their own, FlashInfer by
	// default; before, pages of 16.
	flashinfer = paged.Release{2, 3, 0}
	// wiggleOfTotal: the room is a share of the device; before, of what was
	// free. Since then prompts are also chunked, the lengths are found at
	// start, and logits of prompts are left out.
	wiggleOfTotal = paged.Release{3, 0, 0}
)

// wiggleRooms are the defaults of TGI_WIGGLE_ROOM by release.
var wiggleRooms = []struct {
	since paged.Release
	room  float64
}{
	{paged.Release{3, 3, 0}, 0.90}, {paged.Release{3, 1, 0}, 0.93}, {paged.Release{3, 0, 0}, 0.95},
	{paged.Release{2, 4, 0}, 0.90}, {wiggle, 0.95},
}

func wiggleRoom(r paged.Release) float64 {
	for _, w := range wiggleRooms {
		if r.AtLeast(w.since) {
			return w.room
		}
	}
	return 1
}
