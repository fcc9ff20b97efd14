package fetch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"hwledger/calc/model"
)

// Post sends a JSON document and reads a whole body of at most limit bytes. It
// tries once: it is meant for a daemon nearby, where a second attempt finds
// nothing that the first did not. Errors are those of Get.
func (c *Client) Post(ctx context.Context, address string, body []byte, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, model.Errorf(model.InvalidArgument, "model", "%q is not an address", shown(address))
	}
	if err := check(u); err != nil {
		return nil, err
	}
	out, err := c.post(ctx, u, body, limit)
	if err != nil {
		return nil, explain(ctx, address, 1, err)
	}
	return out, nil
}

// post makes the one attempt.
func (c *Client) post(ctx context.Context, u *url.URL, body []byte, limit int64) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.opts.UserAgent != "" {
		req.Header.Set("User-Agent", c.opts.UserAgent)
	}
	c.authorize(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, status(resp, u.String())
	}
	idle := time.AfterFunc(c.opts.Timeout, func() { cancel(errStalled) })
	defer idle.Stop()
	b, err := io.ReadAll(io.LimitReader(&watched{resp.Body, func() { idle.Reset(c.opts.Timeout) }}, limit+1))
	switch {
	case err != nil && context.Cause(ctx) == errStalled:
		return nil, errStalled
	case err != nil:
		return nil, err
	case int64(len(b)) > limit:
		return nil, model.Errorf(model.MalformedFile, "model", "%s is larger than %d bytes", shown(u.String()), limit)
	}
	return b, nil
}
