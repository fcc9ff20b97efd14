package near

import (
	"reflect"
	"testing"
)

func TestNames(t *testing.T) {
	names := []string{"meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B", "Qwen/Qwen3-8B", "RTX 4090", "RTX 4080"}
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"meta-llama/Lama-3.1-8B", []string{"meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B"}},
		{"llama 3.1 8b", []string{"meta-llama/Llama-3.1-8B"}},
		{"rtx4070", []string{"RTX 4080", "RTX 4090"}},
		{"", nil},
		{"nothing like it at all", []string{}},
	} {
		if got := Names(c.query, names, 2); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Names(%q) = %q, want %q", c.query, got, c.want)
		}
	}
}
