package lookup

import (
	"context"
	"strings"

	"hwledger/calc/model"
)

func init() {
	register(source{name: "mlx", rank: 20, claims: ofMLX, resolve: fromMLX})
}

const mlxPrefix = "mlx:"

// mlxOrg is the Hub's organisation of conversions, where mlx-lm's own examples
// are: a name without an organisation means one of its repositories.
const mlxOrg = "mlx-community/"

func ofMLX(ref string) bool { return strings.HasPrefix(ref, mlxPrefix) }

// fromMLX describes the model of a directory in MLX's form, or of a Hub
// repository, which is resolved as hf: is.
func fromMLX(ctx context.Context, ref string, req Request) (*Result, error) {
	rest := strings.TrimPrefix(ref, mlxPrefix)
	id := rest
	if !strings.Contains(id, "/") {
		id = mlxOrg + id
	}
	h, onHub := parseHub("hf:" + id)
	switch {
	case isPath(rest), (!onHub || !h.whole) && exists(rest):
		r, err := fromPath(ctx, rest, req)
		if err != nil {
			return nil, err
		}
		r.Reference, r.ResolvedFrom = ref, "mlx"
		return r, nil
	case !onHub || !h.whole:
		return nil, model.Errorf(model.InvalidArgument, "model", "%q is neither a path nor the name of a Hub repository", Clean(ref, MaxText)).
			WithHint("use mlx:./dir, mlx:/path/to/dir, mlx:org/name, or mlx:name for a repository of mlx-community")
	}
	r, err := Resolve(ctx, Request{Ref: "hf:" + id, Offline: req.Offline})
	if err != nil {
		return nil, err
	}
	if id != rest {
		r.Provenance = append(r.Provenance, fact("reference", id, "a name without an organisation is one of mlx-community"))
	}
	return r, nil
}
