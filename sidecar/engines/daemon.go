package engines

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// api is a daemon's JSON interface over HTTP.
type api struct{ base string }

// client keeps no connections, and is not sent elsewhere: what is asked stays
// with the daemon.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// maxAnswer bounds an answer in bytes.
const maxAnswer = 8 << 20

// send sends in, unless nil. The caller closes the answer's body.
func (a api) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the daemon: %w", err)
	}
	return resp, nil
}

// do sends in, unless nil, and reads the answer into out, unless nil.
func (a api) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := a.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the daemon's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the daemon answers %s with status %d: %s", path, resp.StatusCode, clip(message(b)))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("reading the daemon's answer: %w", err)
	}
	return nil
}

// clip keeps the first 400 bytes of a text.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 400)], "") }

// message is the text of an error, in any of the forms that daemons use.
func message(b []byte) string {
	var e struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(b, &e) == nil {
		var text string
		var object struct {
			Message string `json:"message"`
		}
		switch {
		case json.Unmarshal(e.Error, &text) == nil:
			return text
		case json.Unmarshal(e.Error, &object) == nil && object.Message != "":
			return object.Message
		}
	}
	return strings.TrimSpace(string(b))
}
