package engine

import (
	"reflect"
	"testing"
)

// The expected partitions are those that vLLM's own test of get_pp_indices
// lists for 5 and 7 layers on 3 and 4 ranks.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		layers, pp int
		want       [][2]int
	}{
		{6, 3, [][2]int{{0, 2}, {2, 4}, {4, 6}}},
		{5, 3, [][2]int{{0, 2}, {2, 4}, {4, 5}}},
		{80, 2, [][2]int{{0, 40}, {40, 80}}},
		{4, 1, [][2]int{{0, 4}}},
	} {
		if got := Stages(c.layers, c.pp); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Stages(%d, %d) = %v, want %v", c.layers, c.pp, got, c.want)
		}
	}
}
