package engine

import (
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
