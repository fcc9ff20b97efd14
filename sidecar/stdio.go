package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"hwledger/sidecar/protocol"
)

// stdioTalk speaks the helper protocol with a child.
type stdioTalk struct {
	c      *child
	client *protocol.Client
	ctx    context.Context
	cancel context.CancelFunc
	// loaded is closed when the load has ended; then ok says whether the model
	// is there, and failure why not, nil when the helper's end will tell.
	loaded  chan struct{}
	ok      bool
	failure *Failure
	begun   bool
}

func newStdioTalk(c *child) *stdioTalk {
	t := &stdioTalk{c: c, loaded: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.client = protocol.Connect(t.ctx, c.own.Stdout, c.own.Stdin, func(line []byte) {
		_, _ = c.s.log.Write(append(line, '\n')) // never fails
	})
	t.client.OnProgress(func(p protocol.ProgressParams) {
		_, _ = fmt.Fprintf(c.s.log, "%s %d/%d\n", p.Message, p.Done, p.Total) // never fails
	})
	return t
}

// ready begins the handshake and the load the first time, and reports whether
// they are over.
func (t *stdioTalk) ready(context.Context) (bool, *Failure) {
	if !t.begun {
		t.begun = true
		go t.load()
	}
	select {
	case <-t.loaded:
		return t.ok, t.failure
	case <-time.After(time.Millisecond):
		return false, nil
	}
}

// load does the handshake and loads the model.
func (t *stdioTalk) load() {
	defer close(t.loaded)
	hello, err := t.client.Initialize(t.ctx, "hwledger")
	if err == nil {
		spec := &t.c.s.spec
		_, _ = fmt.Fprintf(t.c.s.log, "helper %s %s speaks protocol %s\n", hello.Name, hello.Version, hello.ProtocolVersion) // never fails
		_, err = t.client.Load(t.ctx, protocol.LoadParams{
			Model: spec.Model, ContextTokens: spec.ContextTokens, Sequences: spec.Sequences, Offline: true, Arguments: spec.HelperArgs,
		})
	}
	if err == nil {
		t.ok = true
		return
	}
	ended := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE)
	select {
	case <-t.client.Done():
		ended = true
	default:
	}
	if ended { // or about to: the helper's log and exit tell why
		return
	}
	t.failure = &Failure{Kind: Unknown, Cause: clip(err.Error()), Permanent: true, Lines: t.c.s.log.Tail(failureLines, 4<<10)}
	switch protocol.Code(err) {
	case protocol.CodeBadModel:
		t.failure.Kind = BadModel
	case protocol.CodeOutOfMemory:
		t.failure.Kind = OutOfMemory
	case jsonrpc2.CodeMethodNotFound, protocol.CodeVersion:
		t.failure.Cause = "it does not speak this program's protocol: " + t.failure.Cause
	}
}

func (t *stdioTalk) call(ctx context.Context, q Call, onText func(string)) (*Reply, error) {
	p := protocol.GenerateParams{Prompt: q.Prompt, MaxTokens: q.MaxTokens, Temperature: q.Temperature}
	for _, m := range q.Messages {
		p.Messages = append(p.Messages, protocol.Message(m))
	}
	g, err := t.client.Generate(ctx, p, onText)
	if err != nil {
		return nil, err
	}
	return &Reply{Text: g.Text, FinishReason: g.FinishReason, PromptTokens: g.PromptTokens, CompletionTokens: g.CompletionTokens}, nil
}

func (t *stdioTalk) alive(ctx context.Context) bool { return t.client.Ping(ctx) == nil }

// measure asks the helper what it holds, one figure for each kind.
func (t *stdioTalk) measure(ctx context.Context) []Figure {
	m, err := t.client.Memory(ctx)
	if err != nil {
		return nil
	}
	var out []Figure
	at := map[string]int{}
	for _, b := range m.Buffers {
		i, there := at[b.Kind]
		if !there {
			i = len(out)
			at[b.Kind] = i
			out = append(out, Figure{Name: b.Kind})
		}
		out[i].Bytes += b.Bytes
	}
	return out
}

// bye asks the helper to end; the end of its input and signals follow.
func (t *stdioTalk) bye() {
	ctx, cancel := context.WithTimeout(t.ctx, time.Second)
	defer cancel()
	_ = t.client.Shutdown(ctx) // it is ended anyway
}

func (t *stdioTalk) close() {
	t.cancel()
	t.client.Close()
	if t.begun {
		<-t.loaded
	}
}
