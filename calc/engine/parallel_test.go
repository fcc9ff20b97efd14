package engine

import (
	"math"
	"reflect"
	"testing"
)

// The uneven partitions are the figures that vLLM's tests of automatic
// pipeline partition expect for 2 and 3 stages.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		layers, pp int
		want       [][2]int
	}{
		{2, 2, [][2]int{{0, 1}, {1, 2}}},
		{3, 2, [][2]int{{0, 2}, {2, 3}}},
		{3, 3, [][2]int{{0, 1}, {1, 2}, {2, 3}}},
		{4, 3, [][2]int{{0, 1}, {1, 3}, {3, 4}}},
		{5, 3, [][2]int{{0, 2}, {2, 4}, {4, 5}}},
		{80, 1, [][2]int{{0, 80}}},
	} {
		if got := Stages(c.layers, c.pp); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Stages(%d, %d) = %v, want %v", c.layers, c.pp, got, c.want)
		}
	}
}

// The largest products are shares still.
func TestShare(t *testing.T) {
	for _, v := range [][4]int64{{10, 1, 3, 4}, {9, 1, 3, 3}, {7 << 40, 250880, 250880, 7 << 40}, {math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64}, {5, 0, 3, 0}, {5, 7, 3, 12}, {math.MaxInt64, 3, 2, math.MaxInt64}, {math.MaxInt64, math.MaxInt64, 1, math.MaxInt64}, {5, 1, 0, 0}} {
		if got := Share(v[0], v[1], v[2]); got != v[3] {
			t.Errorf("Share(%d, %d, %d) = %d, want %d", v[0], v[1], v[2], got, v[3])
		}
	}
}
