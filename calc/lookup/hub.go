package lookup

import (
	"context"
	"errors"
	"net/url"
	"path"
	"strings"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
)

func init() {
	register(source{name: "hub", rank: 30, claims: onNetwork, resolve: fromNetwork})
}

// fromNetwork describes a model by the headers of files on the network; its
// weights are never fetched.
func fromNetwork(ctx context.Context, ref string, req Request) (*Result, error) {
	h, onHub := parseHub(ref)
	offline := req.Offline || offlineByEnv()
	if !onHub {
		if offline {
			return nil, model.Errorf(model.Offline, "model", "%s is on the network, which is not to be used", Clean(ref, MaxText)).
				WithHint("leave out offline and HF_HUB_OFFLINE, or give the path of the downloaded file")
		}
		return fromAddress(ctx, ref)
	}
	r, err := fromHub(ctx, h, offline)
	var e *model.Error
	if !errors.As(err, &e) {
		return r, err
	}
	if found, ok, _ := find(h.id); e.Code == model.Offline && ok && !h.whole {
		e.Candidates = []string{found.ID}
	}
	if e.Code == model.Offline || e.Code == model.Denied {
		// Something else may know the model; if nothing does, this is why.
		return nil, &unasked{err: e}
	}
	return nil, err
}

// fromAddress describes a GGUF file at an address.
func fromAddress(ctx context.Context, address string) (*Result, error) {
	u, err := url.Parse(address)
	if err != nil || !strings.HasSuffix(strings.ToLower(u.Path), ".gguf") {
		return nil, model.Errorf(model.InvalidArgument, "model", "%s is not the address of a GGUF file", Clean(address, MaxText)).
			WithHint("give an address that ends in .gguf, or org/name for a Hub repository")
	}
	dir, name := path.Split(u.Path)
	base := *u
	base.Path = dir
	r, err := fromGGUF(ctx, &remoteTree{client: client(), base: &base, only: name}, name)
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = address, "network"
	return finish(r), nil
}

// fromHub describes a repository, or one GGUF file of it. Offline it is
// described by what the cache of metadata kept.
func fromHub(ctx context.Context, h hubRef, offline bool) (*Result, error) {
	if !offline && h.whole {
		ctx = fetch.Quick(ctx) // the catalogue may know it too
	}
	t, err := openRepo(ctx, h, offline)
	if err != nil {
		return nil, err
	}
	r, err := h.describe(ctx, t)
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = h.at(t.commit), "hub"
	if r.License == "" {
		r.License = t.license
	}
	r.Provenance = append(r.Provenance, t.facts...)
	return finish(r), nil
}
