package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"hwledger/calc/model"
)

// statusError is an answer that is not what was asked for.
type statusError struct {
	status  int
	address string
	// reason is the Hub's X-Error-Code: RepoNotFound, GatedRepo, …
	reason string
}

func status(resp *http.Response, address string) *statusError {
	return &statusError{status: resp.StatusCode, address: address, reason: resp.Header.Get("X-Error-Code")}
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", shown(e.address), e.status, http.StatusText(e.status))
}

// temporary reports whether asking again may help.
func (e *statusError) temporary() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500
}

// maxWait bounds what a Retry-After header can ask for.
const maxWait = 30 * time.Second

// retry makes the request until use accepts its response or it cannot help
// any more, and turns what remains into a *model.Error. Bodies are closed.
func (c *Client) retry(ctx context.Context, address string, header func(http.Header), use func(*http.Response) error) error {
	u, err := url.Parse(address)
	if err != nil {
		return model.Errorf(model.InvalidArgument, "model", "%q is not an address", shown(address))
	}
	if err := check(u); err != nil {
		return err
	}
	if since, ok := c.down.Load(hostPort(u)); ok && isQuick(ctx) && time.Since(since.(time.Time)) < quickMemory {
		return explain(ctx, address, 1, &transportError{errDown})
	}
	wait := c.opts.Backoff
	for attempt := 1; ; attempt++ {
		after, err := c.once(ctx, u, header, use)
		if err == nil {
			c.down.Delete(hostPort(u))
			return nil
		}
		if isQuick(ctx) && unreached(err) && ctx.Err() == nil {
			c.down.Store(hostPort(u), time.Now())
		}
		if attempt == c.opts.Attempts || !again(err) || ctx.Err() != nil || isQuick(ctx) && unreached(err) {
			return explain(ctx, address, attempt, err)
		}
		pause := max(after, wait/2+rand.N(wait/2+1))
		wait *= 2
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return explain(ctx, address, attempt, ctx.Err())
		case <-timer.C:
		}
	}
}

// once makes one attempt and returns how long the server asked to wait.
func (c *Client) once(ctx context.Context, u *url.URL, header func(http.Header), use func(*http.Response) error) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	if c.opts.UserAgent != "" {
		req.Header.Set("User-Agent", c.opts.UserAgent)
	}
	header(req.Header)
	c.authorize(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, bare(err)
	}
	defer resp.Body.Close()
	idle := time.AfterFunc(c.opts.Timeout, func() { cancel(errStalled) })
	defer idle.Stop()
	resp.Body = &watched{resp.Body, func() { idle.Reset(c.opts.Timeout) }}
	if err = use(resp); err != nil && context.Cause(ctx) == errStalled {
		return 0, errStalled
	}
	var s *statusError
	if errors.As(err, &s) {
		// A short error page is read so that the connection can be used again.
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	}
	return retryAfter(resp.Header.Get("Retry-After")), err
}

func retryAfter(v string) time.Duration {
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, maxWait)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, min(time.Until(t), maxWait))
	}
	return 0
}

// again reports whether an attempt failed for a reason that may pass.
func again(err error) bool {
	var s *statusError
	if errors.As(err, &s) {
		return s.temporary()
	}
	var m *model.Error
	var p *privateError
	return !errors.As(err, &m) && !errors.As(err, &p)
}

// explain turns a failure into an error that says what to do.
func explain(ctx context.Context, address string, attempts int, err error) error {
	var m *model.Error
	if errors.As(err, &m) {
		return m
	}
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return cause
	}
	var p *privateError
	if errors.As(err, &p) {
		return model.Errorf(model.Denied, "model", "%s leads to %s", shown(address), p.Error()).
			WithHint("private addresses are read only when the operator configured them, with HF_ENDPOINT or OLLAMA_HOST")
	}
	var s *statusError
	if !errors.As(err, &s) {
		e := model.Errorf(model.Offline, "model", "%s could not be read", shown(address))
		e.Err = err
		return e.WithHint("check the network, or use a local path or a model of the embedded catalogue")
	}
	return s.explain(attempts)
}
