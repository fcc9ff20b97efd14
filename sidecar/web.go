package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hwledger/calc/model"
)

// Limits on what is read of an engine's answers, in bytes.
const (
	maxAnswer = 8 << 20
	maxEvent  = 1 << 20
	maxText   = 16 << 20
)

// webTalk speaks to an engine over HTTP, by the OpenAI API.
type webTalk struct {
	e         *Engine
	transport *http.Transport
	client    *http.Client
	base, key string
	model     string // as the engine lists it
}

func newWebTalk(c *child) *webTalk {
	t := &webTalk{e: c.s.engine, key: c.s.key, model: c.s.spec.Model}
	if c.socket != "" {
		t.transport, t.base = overSocket(c.socket), "http://sidecar"
	} else {
		t.transport, t.base = overPort(c.port), "http://127.0.0.1:"+strconv.Itoa(c.port)
	}
	t.client = &http.Client{Transport: t.transport, CheckRedirect: stay}
	return t
}

// stay follows no redirect: a server that sends elsewhere is not the one that
// was started.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// get asks for a path. It returns the status, and the body of at most
// maxAnswer bytes.
func (t *webTalk) get(ctx context.Context, path, key string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, b, err
}

// ready reports whether the engine says that it is, lists a model, and, where
// it has a key, takes that and no other: a server that does not is another's.
func (t *webTalk) ready(ctx context.Context) (bool, *Failure) {
	if t.e.Health != "" {
		if code, _, err := t.get(ctx, t.e.Health, t.key); err != nil || code != http.StatusOK {
			return false, nil
		}
	}
	if t.e.Models == "" {
		return true, nil
	}
	code, body, err := t.get(ctx, t.e.Models, t.key)
	if err != nil {
		return false, nil
	}
	stranger := &Failure{Kind: PortInUse, Cause: "the server that answers does not take the sidecar's key"}
	switch {
	case unauthorized(code):
		return false, stranger
	case code != http.StatusOK || !t.choose(body):
		return false, nil
	}
	if t.key == "" {
		return true, nil
	}
	// Any route that needs a key would do; this one is in every engine.
	const route = "/v1/completions"
	if code, err = t.post(ctx, route, "wrong"); err != nil {
		return false, nil
	}
	if !unauthorized(code) {
		stranger.Cause = "the server that answers asks for no key"
		return false, stranger
	}
	if code, err = t.post(ctx, route, t.key); err != nil {
		return false, nil
	}
	if unauthorized(code) {
		return false, stranger
	}
	return true, nil
}

func unauthorized(code int) bool {
	return code == http.StatusUnauthorized || code == http.StatusForbidden
}

// post sends an empty request and returns the status.
func (t *webTalk) post(ctx context.Context, path, key string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := t.send(ctx, path, key, []byte(`{}`))
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

func (t *webTalk) send(ctx context.Context, path, key string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return t.client.Do(req)
}

// choose takes the model's name from the list: the one that was asked for, or
// the only one.
func (t *webTalk) choose(body []byte) bool {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return false
	}
	for _, m := range list.Data {
		if m.ID == t.model {
			return true
		}
	}
	t.model = list.Data[0].ID
	return true
}

func (t *webTalk) alive(ctx context.Context) bool {
	path := t.e.Health
	if path == "" {
		path = t.e.Models
	}
	code, _, err := t.get(ctx, path, t.key)
	return err == nil && code == http.StatusOK
}

func (t *webTalk) measure(context.Context) []Figure { return nil }
func (t *webTalk) bye()                             {}
func (t *webTalk) close()                           { t.transport.CloseIdleConnections() }

// chunk is one event of a streamed answer, of either API.
type chunk struct {
	Choices []struct {
		Text  string `json:"text"`
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning_content"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	} `json:"usage"`
	// Timings are llama-server's.
	Timings *struct {
		PromptTokens    int64   `json:"prompt_n"`
		PromptPerSecond float64 `json:"prompt_per_second"`
		Tokens          int64   `json:"predicted_n"`
		PerSecond       float64 `json:"predicted_per_second"`
	} `json:"timings"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// call streams a chat or a completion.
func (t *webTalk) call(ctx context.Context, q Call, onText func(string)) (*Reply, error) {
	path, body := "/v1/chat/completions", map[string]any{"model": t.model, "stream": true, "stream_options": map[string]any{"include_usage": true}}
	if len(q.Messages) > 0 {
		body["messages"] = q.Messages
	} else {
		path, body["prompt"] = "/v1/completions", q.Prompt
	}
	if q.MaxTokens > 0 {
		body["max_tokens"] = q.MaxTokens
	}
	if q.Temperature != nil {
		body["temperature"] = *q.Temperature
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	resp, err := t.send(ctx, path, t.key, raw)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what there is
		return nil, refused(resp.StatusCode, b)
	}
	return readStream(resp.Body, onText)
}

// refused is the error of an engine that did not take a call.
func refused(status int, body []byte) error {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Message string `json:"message"`
	}
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &e) == nil {
		switch {
		case e.Error.Message != "":
			text = e.Error.Message
		case e.Message != "":
			text = e.Message
		}
	}
	return Refused(status, text)
}

// Refused is the error of an engine that answered a call with a status and a
// text.
func Refused(status int, text string) error {
	code := model.NotReady
	if status >= 400 && status < 500 {
		code = model.InvalidArgument
	}
	return model.Errorf(code, "", "the engine answered with status %d: %s", status, clip(text)).WithHint("change what is asked, or look at get_sidecar's log")
}

// readStream reads server-sent events until [DONE].
func readStream(body io.Reader, onText func(string)) (*Reply, error) {
	r := &Reply{}
	var text strings.Builder
	s := bufio.NewScanner(body)
	s.Buffer(make([]byte, 0, 16<<10), maxEvent)
	whole := false
	for !whole && s.Scan() {
		data, ok := bytes.CutPrefix(s.Bytes(), []byte("data:"))
		data = bytes.TrimSpace(data)
		if !ok || len(data) == 0 {
			continue
		}
		if string(data) == "[DONE]" {
			whole = true
			continue
		}
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return nil, fmt.Errorf("reading the engine's answer: %w", err)
		}
		if c.Error != nil {
			return nil, errors.New(clip(c.Error.Message))
		}
		r.take(&c, &text, onText)
		if text.Len() > maxText {
			return nil, fmt.Errorf("the answer has more than %d bytes", maxText)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading the engine's answer: %w", err)
	}
	if !whole && r.FinishReason == "" {
		return nil, fmt.Errorf("the engine's answer ended early: %w", io.ErrUnexpectedEOF)
	}
	r.Text = text.String()
	return r, nil
}

// take adds an event to the reply.
func (r *Reply) take(c *chunk, text *strings.Builder, onText func(string)) {
	for i := range c.Choices {
		x := &c.Choices[i]
		if piece := x.Text + x.Delta.Content; piece != "" || x.Delta.Reasoning != "" {
			text.WriteString(piece)
			onText(piece + x.Delta.Reasoning)
		}
		if x.FinishReason != "" {
			r.FinishReason = x.FinishReason
		}
	}
	if c.Usage != nil {
		r.PromptTokens, r.CompletionTokens = c.Usage.Prompt, c.Usage.Completion
	}
	if t := c.Timings; t != nil {
		r.PromptPerSecond, r.PerSecond = t.PromptPerSecond, t.PerSecond
		if r.CompletionTokens == 0 {
			r.PromptTokens, r.CompletionTokens = t.PromptTokens, t.Tokens
		}
	}
}
