package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"hwledger/calc/model"
)

// quickDial bounds a connection's set-up when there is another answer.
const quickDial = 2 * time.Second

// quickMemory is how long a server that did not answer is not asked again by
// callers that have another answer.
const quickMemory = time.Minute

var errDown = errors.New("it did not answer a moment ago")

type quickKey struct{}

// Quick returns a context whose requests give up at the first sign that the
// server cannot be reached, for callers that have another answer.
func Quick(ctx context.Context) context.Context { return context.WithValue(ctx, quickKey{}, true) }

func isQuick(ctx context.Context) bool { return ctx.Value(quickKey{}) != nil }

// unreached reports whether an attempt ended without any answer.
func unreached(err error) bool {
	var s *statusError
	var u *transportError
	return !errors.As(err, &s) && errors.As(err, &u)
}

// Unreached reports whether an error of this package means that no server
// answered at all.
func Unreached(err error) bool { return unreached(err) }

// transportError is a request that got no answer. The address is left out: a
// redirect's may be signed, and the one that was asked for is said anyway.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// bare takes the address off an error of net/http.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &transportError{err}
}

// errStalled is a body that stopped arriving.
var errStalled = errors.New("the server stopped sending")

// watched calls alive whenever bytes arrive.
type watched struct {
	io.ReadCloser
	alive func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.alive()
	}
	return n, err
}

// shown is an address for a message: without query, which may be a signature.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}

// The Hub's reasons, from X-Error-Code.
const (
	repoNotFound     = "RepoNotFound"
	revisionNotFound = "RevisionNotFound"
	gatedRepo        = "GatedRepo"
)

// explain turns an answer into an error that says what to do.
func (e *statusError) explain(attempts int) error {
	switch {
	case e.reason == gatedRepo:
		return model.Errorf(model.Denied, "model", "%s: the repository is gated", e).
			WithHint("accept its conditions on the Hub with your account and set HF_TOKEN to a token of that account")
	case e.reason == revisionNotFound:
		return model.Errorf(model.ModelNotFound, "model", "%s: the repository has no such revision", e).WithHint("name a branch, a tag or a commit of the repository")
	}
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		what := ""
		if e.reason == repoNotFound {
			what = ": there is no such public repository"
		}
		return model.Errorf(model.Denied, "model", "%s%s", e, what).
			WithHint("the repository is private, gated or does not exist: check its name, accept its licence on the Hub and set HF_TOKEN to a token that can read it")
	case http.StatusNotFound, http.StatusGone:
		return model.Errorf(model.ModelNotFound, "model", "%s", e).WithHint("check the spelling and the revision; search_models finds names")
	}
	return model.Errorf(model.Offline, "model", "%s, %d times", e, attempts).WithHint("the server is overloaded or down; try again later")
}
