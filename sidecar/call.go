package sidecar

import (
	"context"
	"time"

	"hwledger/calc/model"
)

// Call asks for text: Messages for a chat, or Prompt for a completion.
type Call struct {
	Messages    []Message
	Prompt      string
	MaxTokens   int64
	Temperature *float64
}

// Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Reply is what came of a Call. Counts are 0 where the engine does not say.
type Reply struct {
	Text, FinishReason             string
	PromptTokens, CompletionTokens int64
	// FirstToken and Total are since the call was sent.
	FirstToken, Total time.Duration
	// PromptPerSecond and PerSecond are the engine's own figures where it has
	// them, else they are made from the counts and times seen here.
	PromptPerSecond, PerSecond float64
}

// finish fills in the speeds that the engine did not say.
func (r *Reply) finish() {
	if r.PromptPerSecond == 0 && r.PromptTokens > 0 && r.FirstToken > 0 {
		r.PromptPerSecond = float64(r.PromptTokens) / r.FirstToken.Seconds()
	}
	if decode := r.Total - r.FirstToken; r.PerSecond == 0 && r.CompletionTokens > 1 && decode > 0 {
		r.PerSecond = float64(r.CompletionTokens-1) / decode.Seconds()
	}
}

// callStall is how long an engine may be silent in a call. A call as a whole
// has no end but the caller's: long texts are legal.
const callStall = 5 * time.Minute

// Call asks a ready sidecar for text. onText, unless nil, gets the pieces in
// order. It returns NotReady for a sidecar that does not run.
func (m *Manager) Call(ctx context.Context, ref string, q Call, onText func(string)) (*Reply, error) {
	if len(q.Messages) == 0 && q.Prompt == "" {
		return nil, model.Errorf(model.InvalidArgument, "messages", "nothing was asked").WithHint("give messages or prompt")
	}
	s, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	u, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(callStall, func() { cancel(endCause("the engine was silent for " + callStall.String())) })
	defer silent.Stop()
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	defer stop()

	began := time.Now()
	var first time.Duration
	r, err := u.call(ctx, q, func(text string) {
		silent.Reset(callStall)
		if first == 0 && text != "" {
			first = time.Since(began)
		}
		if onText != nil {
			onText(text)
		}
	})
	if err != nil {
		return nil, s.callFailed(ctx, err)
	}
	r.FirstToken, r.Total = first, time.Since(began)
	r.finish()
	s.recordCall(r)
	return r, nil
}

// callFailed words an error of a call.
func (s *sidecar) callFailed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if c, ok := cause.(endCause); ok {
			return model.Errorf(model.NotReady, "id", "the call was cut off: %s", string(c)).WithHint("get_sidecar says how it is")
		}
		return cause
	}
	if e, ok := err.(*model.Error); ok {
		return e
	}
	e := model.Errorf(model.NotReady, "id", "the call failed")
	e.Err = err
	return e.WithHint("get_sidecar says whether it still runs and what it printed last")
}
