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
	{"http://", "a file on the network", "download it and give its path; its header alone is enough"},
	{"https://", "a file on the network", "download it and give its path; its header alone is enough"},
	{"ollama:", "a model in Ollama's store", "give the path of its GGUF blob, which 'ollama show --modelfile' prints after FROM"},
	{"lmstudio:", "a model in LM Studio's store", "give the path of its file"},
	{"mlx:", "an MLX repository", "give the path of its directory"},
	{"hf:", "a file in a Hub repository", "give org/name for the model as a whole and the quantization as \"weights\", or the path of the downloaded file"},
}

func remote(ref string) bool {
	for _, e := range elsewhere {
		if strings.HasPrefix(ref, e.prefix) {
			return true
		}
	}
	// org/name:Q4_K_M and org/name/file.gguf
	return !isPath(ref) && !strings.HasPrefix(ref, "catalog:") && strings.Contains(ref, "/") && (strings.Contains(ref, ":") || strings.Count(ref, "/") > 1)
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
	err := model.Errorf(model.Offline, "model", "%q is %s, and models are read from local files and the embedded catalogue only", Clean(ref, MaxText), e.what)
	if name, _, ok := strings.Cut(strings.TrimPrefix(ref, "hf:"), ":"); ok {
		if found, ok, _ := find(strings.Trim(name, "/")); ok {
			err.Candidates = []string{found.ID}
		}
	}
	return nil, err.WithHint("%s", e.instead)
}
