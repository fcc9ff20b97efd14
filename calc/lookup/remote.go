package lookup

import (
	"context"
	"strings"

	"hwledger/calc/model"
)

func init() {
	register(source{name: "remote", rank: 90, claims: remote, resolve: unreachable})
}

// elsewhere are the forms whose files are not on this machine's disk under a
// name that the caller gave, and what to do instead.
var elsewhere = []struct{ prefix, what, instead string }{
	{"ollama:", "a model in Ollama's store", "give the path of its GGUF blob, which 'ollama show --modelfile' prints after FROM"},
}

func remote(ref string) bool {
	for _, e := range elsewhere {
		if strings.HasPrefix(ref, e.prefix) {
			return true
		}
	}
	return false
}

// unreachable says what a remote reference needs and what works without it.
func unreachable(_ context.Context, ref string, _ Request) (*Result, error) {
	e := elsewhere[len(elsewhere)-1]
	for _, x := range elsewhere {
		if strings.HasPrefix(ref, x.prefix) {
			e = x
			break
		}
	}
	err := model.Errorf(model.Offline, "model", "%q is %s, which is not read", Clean(ref, MaxText), e.what)
	return nil, err.WithHint("%s", e.instead)
}
