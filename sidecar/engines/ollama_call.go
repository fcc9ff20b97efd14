package engines

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"hwledger/sidecar"
)

// ollamaLine is one line of a streamed answer of /api/chat or /api/generate.
// Durations are nanoseconds. (docs/api.md)
type ollamaLine struct {
	Message struct {
		Content  string `json:"content"`
		Thinking string `json:"thinking"`
	} `json:"message"`
	Response string `json:"response"`
	Thinking string `json:"thinking"`
	Done     bool   `json:"done"`
	Reason   string `json:"done_reason"`
	Error    string `json:"error"`

	PromptTokens int64   `json:"prompt_eval_count"`
	PromptTime   float64 `json:"prompt_eval_duration"`
	Tokens       int64   `json:"eval_count"`
	Time         float64 `json:"eval_duration"`
}

// Limits on what is read of an answer, in bytes.
const (
	maxLine = 1 << 20
	maxText = 16 << 20
)

// Call asks in Ollama's own API and says again what the model was loaded with:
// the OpenAI one takes no num_ctx, and Ollama loads a model again whenever a
// request's options differ from those that it was loaded with
// (server/sched.go needsReload).
func (d ollamaDaemon) Call(ctx context.Context, model string, o sidecar.LoadOptions, q sidecar.Call, onText func(string)) (*sidecar.Reply, error) {
	options := ollamaOptions(o)
	if q.MaxTokens > 0 {
		options["num_predict"] = q.MaxTokens
	}
	if q.Temperature != nil {
		options["temperature"] = *q.Temperature
	}
	path, in := "/api/chat", map[string]any{"model": model, "stream": true, "options": options}
	if len(q.Messages) > 0 {
		in["messages"] = q.Messages
	} else {
		path, in["prompt"] = "/api/generate", q.Prompt
	}
	if o.Keep {
		in["keep_alive"] = -1
	}
	resp, err := d.send(ctx, http.MethodPost, path, in)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what there is
		return nil, sidecar.Refused(resp.StatusCode, message(b))
	}
	return readOllama(resp.Body, onText)
}

// readOllama reads the lines of an answer to the one that is the last.
func readOllama(body io.Reader, onText func(string)) (*sidecar.Reply, error) {
	var text strings.Builder
	s := bufio.NewScanner(body)
	s.Buffer(make([]byte, 0, 16<<10), maxLine)
	for s.Scan() {
		var l ollamaLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("reading the daemon's answer: %w", err)
		}
		if l.Error != "" {
			return nil, errors.New(clip(l.Error))
		}
		piece, thinking := l.Message.Content+l.Response, l.Message.Thinking+l.Thinking
		if text.Len()+len(piece) > maxText {
			return nil, fmt.Errorf("the answer has more than %d bytes", maxText)
		}
		if piece != "" || thinking != "" {
			text.WriteString(piece)
			onText(piece + thinking)
		}
		if l.Done {
			return &sidecar.Reply{
				Text: text.String(), FinishReason: l.Reason, PromptTokens: l.PromptTokens, CompletionTokens: l.Tokens,
				PromptPerSecond: perSecond(l.PromptTokens, l.PromptTime), PerSecond: perSecond(l.Tokens, l.Time),
			}, nil
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading the daemon's answer: %w", err)
	}
	return nil, fmt.Errorf("the daemon's answer ended early: %w", io.ErrUnexpectedEOF)
}

// perSecond is 0 where either is unknown.
func perSecond(n int64, nanoseconds float64) float64 {
	if n <= 0 || nanoseconds <= 0 {
		return 0
	}
	return float64(n) * 1e9 / nanoseconds
}
