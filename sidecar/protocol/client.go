package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// Client drives a helper. Every call has a deadline: a helper that says
// nothing looks like one that thinks.
type Client struct {
	conn *jsonrpc2.Conn
	// Within bounds calls that do not say otherwise; 30 s.
	Within time.Duration

	calls    atomic.Int64
	mu       sync.Mutex
	tokens   map[string]func(string)
	progress func(ProgressParams)
}

// Connect returns a client of the helper whose output is out and input in.
// Lines that are no messages go to noise.
func Connect(ctx context.Context, out io.Reader, in io.WriteCloser, noise func([]byte)) *Client {
	c := &Client{Within: 30 * time.Second, tokens: map[string]func(string){}}
	quiet := jsonrpc2.SetLogger(log.New(io.Discard, "", 0)) // what matters comes back as errors
	c.conn = jsonrpc2.NewConn(ctx, newStream(out, in, in.Close, noise), handler(c.notified), quiet)
	return c
}

// handler is called on the read loop, so that tokens keep their order.
type handler func(*jsonrpc2.Request)

func (h handler) Handle(ctx context.Context, conn *jsonrpc2.Conn, r *jsonrpc2.Request) {
	if !r.Notif {
		_ = conn.ReplyWithError(ctx, r.ID, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "helpers send notifications only"}) // it may be gone
		return
	}
	h(r)
}

// notified takes a notification of the helper.
func (c *Client) notified(r *jsonrpc2.Request) {
	if r.Params == nil {
		return
	}
	switch r.Method {
	case Token:
		var p TokenParams
		if json.Unmarshal(*r.Params, &p) != nil {
			return
		}
		c.mu.Lock()
		f := c.tokens[p.Call]
		c.mu.Unlock()
		if f != nil {
			f(p.Text)
		}
	case Progress:
		var p ProgressParams
		c.mu.Lock()
		f := c.progress
		c.mu.Unlock()
		if f != nil && json.Unmarshal(*r.Params, &p) == nil {
			f(p)
		}
	}
}

// OnProgress sets what is told how far a load is.
func (c *Client) OnProgress(f func(ProgressParams)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress = f
}

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.conn.DisconnectNotify() }

// Close ends the connection, and with it the helper's input.
func (c *Client) Close() {
	_ = c.conn.Close() // it may have ended
}

// call calls a method within the client's own limit, besides the context's.
func (c *Client) call(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Within)
	defer cancel()
	return c.unbounded(ctx, method, params, result)
}

func (c *Client) unbounded(ctx context.Context, method string, params, result any) error {
	err := c.conn.Call(ctx, method, params, result)
	switch {
	case errors.Is(err, jsonrpc2.ErrClosed):
		return fmt.Errorf("%s: the helper closed the connection: %w", method, io.ErrUnexpectedEOF)
	case err != nil:
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// Code returns the helper's own error code, 0 for other errors.
func Code(err error) int64 {
	var e *jsonrpc2.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// Initialize does the handshake. It fails when the versions differ.
func (c *Client) Initialize(ctx context.Context, client string) (*InitializeResult, error) {
	out := &InitializeResult{}
	if err := c.call(ctx, Initialize, InitializeParams{ProtocolVersion: Version, Client: client}, out); err != nil {
		return nil, err
	}
	if out.ProtocolVersion != Version {
		return nil, fmt.Errorf("initialize: the helper speaks version %.20q of the protocol, this program %q", out.ProtocolVersion, Version)
	}
	return out, nil
}

// Ping asks for a sign of life.
func (c *Client) Ping(ctx context.Context) error { return c.call(ctx, Ping, Empty{}, &Empty{}) }

// Load loads a model. Only ctx bounds it.
func (c *Client) Load(ctx context.Context, p LoadParams) (*LoadResult, error) {
	out := &LoadResult{}
	return out, c.unbounded(ctx, Load, p, out)
}

// Unload gives the model's memory back.
func (c *Client) Unload(ctx context.Context) error { return c.call(ctx, Unload, Empty{}, &Empty{}) }

// Memory asks what the engine holds.
func (c *Client) Memory(ctx context.Context) (*MemoryResult, error) {
	out := &MemoryResult{}
	return out, c.call(ctx, Memory, Empty{}, out)
}

// Shutdown asks the helper to end.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, Shutdown, Empty{}, &Empty{})
}

// Generate asks for text; onToken, unless nil, gets its pieces in order. When
// ctx ends the helper is told to stop.
func (c *Client) Generate(ctx context.Context, p GenerateParams, onToken func(string)) (*GenerateResult, error) {
	p.Call = strconv.FormatInt(c.calls.Add(1), 10)
	if onToken != nil {
		c.mu.Lock()
		c.tokens[p.Call] = onToken
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			delete(c.tokens, p.Call)
			c.mu.Unlock()
		}()
	}
	out := &GenerateResult{}
	waiter, err := c.conn.DispatchCall(ctx, Generate, p)
	if err == nil {
		if err = waiter.Wait(ctx, out); ctx.Err() != nil {
			err = c.cancelled(ctx, waiter, p.Call, out)
		}
	}
	if errors.Is(err, jsonrpc2.ErrClosed) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return out, nil
}

// cancelled tells the helper that a call is not wanted, and waits a little for
// its end, so that the next does not find it busy.
func (c *Client) cancelled(ctx context.Context, w jsonrpc2.Waiter, call string, out *GenerateResult) error {
	cause := context.Cause(ctx)
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := c.conn.Notify(ctx, Cancel, CancelParams{Call: call}); err != nil {
		return err
	}
	if err := w.Wait(ctx, out); err != nil && ctx.Err() != nil {
		return fmt.Errorf("it was not cancelled in time: %w", cause)
	}
	return cause
}
