// Package stdio serves MCP on a pair of streams, one JSON-RPC message a line.
//
// The protocol itself is mcp-go's; this is the transport around its
// HandleMessage, with what its own stdio transport lacks: answers are not
// lost at end of input, notifications of a request never follow its answer,
// a cancelled request is not answered, initialize is answered before what
// was sent after it, ids come back as they were written, lines are bounded
// and concurrency too, and a bad line never ends the connection.
package stdio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// Options bound what a connection may take. Zero values mean the defaults.
type Options struct {
	// MaxLine is the longest message in bytes; 8 MiB.
	MaxLine int
	// MaxRunning is how many requests run at once; 32.
	MaxRunning int
	// MaxPending and MaxPendingBytes bound the requests that were read and
	// not answered; 1024 and 64 MiB. Reading stops while they are reached.
	MaxPending, MaxPendingBytes int
	// Drain is how long unanswered requests may go on after end of input;
	// 30 s.
	Drain time.Duration
	// Log takes diagnostics; it discards by default.
	Log *slog.Logger
}

func (o *Options) fill() {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.MaxLine, 8<<20)
	set(&o.MaxRunning, 32)
	set(&o.MaxPending, 1024)
	set(&o.MaxPendingBytes, 64<<20)
	if o.Drain <= 0 {
		o.Drain = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Serve answers the messages on in until its end, and then until every
// request was answered. It returns early, with an error, when ctx is done or
// out takes no more.
func Serve(ctx context.Context, srv *server.MCPServer, in io.Reader, out io.Writer, opts Options) error {
	opts.fill()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &conn{
		srv:     srv,
		opts:    opts,
		client:  &client{},
		out:     &writer{out: out, failed: make(chan struct{})},
		running: make(chan struct{}, opts.MaxRunning),
		next:    make(chan work),
		spare:   make(chan struct{}, mostSpare),
		open:    map[string]*request{},
	}
	c.room = sync.NewCond(&c.mu)
	defer c.close()
	base := &session{client: c.client, out: c.out, asks: &c.asks}
	defer base.finish()
	c.ctx = srv.WithContext(ctx, base)
	if err := srv.RegisterSession(c.ctx, base); err != nil {
		return fmt.Errorf("registering the client: %w", err)
	}
	defer srv.UnregisterSession(context.WithoutCancel(c.ctx), base.SessionID())

	ended := make(chan error, 1)
	go func() { ended <- c.read(&lines{in: bufio.NewReaderSize(in, 64<<10), max: opts.MaxLine}) }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
	case <-ctx.Done():
		return ctx.Err()
	case <-c.out.failed:
		return fmt.Errorf("writing: %w", c.out.err)
	}
	return c.drain(ctx)
}

// conn is one connection.
type conn struct {
	srv    *server.MCPServer
	opts   Options
	ctx    context.Context
	client *client
	out    *writer
	asks   asker
	ready  bool // initialize was answered; used by the reader only

	running chan struct{} // one entry for each request that runs
	wg      sync.WaitGroup
	next    chan work     // to a goroutine that waits for a request
	spare   chan struct{} // one entry for each that does

	mu     sync.Mutex // guards what follows
	room   *sync.Cond // signals that a request was answered, or closed
	closed bool
	open   map[string]*request // by id; without the cancelled ones
	// pending and bytes count the requests that run or wait to run.
	pending, bytes int
}

// request is one request that was not answered.
type request struct {
	id     json.RawMessage
	key    string
	size   int
	ctx    context.Context
	cancel context.CancelFunc
	// stream requests stay open until the client ends them.
	stream bool
	// cancelled is guarded by the writer.
	cancelled bool
}

// work is a request and the line that it came on.
type work struct {
	*request
	line []byte
}

// mostSpare is how many goroutines wait for a request after they answered one.
// Their stacks have grown to what a call takes; growing a new one each time is
// a tenth of a call.
const mostSpare = 4

// read handles every line of in, and returns at its end.
func (c *conn) read(in *lines) error {
	for {
		line, err := in.next()
		var long errTooLong
		switch {
		case err == nil:
			c.accept(line)
		case errors.As(err, &long):
			c.refuse(long.ID, mcp.INVALID_REQUEST, fmt.Sprintf("the message is longer than %d bytes", c.opts.MaxLine))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}

// drain waits until every request was answered.
func (c *conn) drain(ctx context.Context) error {
	c.asks.end()
	c.mu.Lock()
	for _, r := range c.open {
		if r.stream {
			r.cancel()
		}
	}
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	timeout := time.NewTimer(c.opts.Drain)
	defer timeout.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.out.failed:
		return fmt.Errorf("writing: %w", c.out.err)
	case <-timeout.C:
		return fmt.Errorf("requests were still running %s after end of input", c.opts.Drain)
	}
}

// accept handles one line.
func (c *conn) accept(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	m, code, why := parse(line)
	if code != 0 {
		c.refuse(m.ID, code, why)
		return
	}
	switch {
	case m.Method == "":
		if m.ID == nil {
			return // an error about a message without an id
		}
		if answer := c.asks.take(m.ID); answer != nil {
			answer <- m
			return
		}
		c.opts.Log.Debug("ignored an answer that nobody asked for", "id", string(m.ID))
	case m.ID == nil:
		c.notification(m, line)
	default:
		c.request(m, line)
	}
}

func (c *conn) refuse(id json.RawMessage, code int, why string) {
	if id == nil {
		id = json.RawMessage("null")
	}
	c.out.send(nil, response{JSONRPC: mcp.JSONRPC_VERSION, ID: id, Error: failure(code, why)})
}

func (c *conn) notification(m message, line []byte) {
	if m.Method == string(mcp.MethodNotificationCancelled) {
		if r := c.take(m.cancels()); r != nil {
			c.out.cancel(r)
			r.cancel()
		}
		return
	}
	c.engine(c.ctx, line)
}

// request starts a request. What sets the connection up is answered before
// the next line is read; everything else runs beside it.
func (c *conn) request(m message, line []byte) {
	switch m.Method {
	case string(mcp.MethodInitialize):
		resp := c.engine(c.ctx, line)
		_, c.ready = resp.(mcp.JSONRPCResponse)
		c.out.send(nil, answer(m.ID, resp))
		return
	case string(mcp.MethodPing):
		c.out.send(nil, answer(m.ID, c.engine(c.ctx, line)))
		return
	case string(mcp.MethodServerDiscover):
	default:
		if !c.ready && !m.modern() {
			c.refuse(m.ID, mcp.INVALID_REQUEST, m.Method+" came before initialize; send initialize first, or name protocol version "+mcp.LATEST_PROTOCOL_VERSION+" in params._meta")
			return
		}
	}
	r := &request{id: m.ID, key: idKey(m.ID), size: len(line), stream: m.Method == string(mcp.MethodSubscriptionsListen)}
	r.ctx, r.cancel = context.WithCancel(c.ctx)
	if !c.enter(r) {
		r.cancel()
		c.refuse(m.ID, mcp.INVALID_REQUEST, "a request with this id is still running")
		return
	}
	c.wg.Add(1)
	select {
	case c.next <- work{r, line}:
	default:
		go c.serve(work{r, line})
	}
}

// serve answers a request, and then others unless enough wait for them.
func (c *conn) serve(w work) {
	for {
		c.run(w.request, w.line)
		w = work{} // while it waits it holds on to nothing
		select {
		case c.spare <- struct{}{}:
		default:
			return
		}
		select {
		case w = <-c.next:
			<-c.spare
		case <-c.ctx.Done():
			return
		}
	}
}

// run answers one request.
func (c *conn) run(r *request, line []byte) {
	defer c.wg.Done()
	defer c.leave(r)
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-r.ctx.Done():
		return
	}
	s := &session{client: c.client, out: c.out, req: r, asks: &c.asks}
	ctx, caught := protocol.Catch(r.ctx)
	resp := c.engine(c.srv.WithContext(ctx, s), line)
	s.finish()
	if e := caught.Error(); e != nil {
		if _, failed := resp.(mcp.JSONRPCError); failed {
			resp = mcp.JSONRPCError{Error: mcp.NewJSONRPCErrorDetails(e.Code, e.Message, e.Data)}
		}
	}
	if err := c.out.send(r, answer(r.id, resp)); err != nil {
		c.opts.Log.Error("encoding a result", "error", err)
		c.out.send(r, response{JSONRPC: mcp.JSONRPC_VERSION, ID: r.id, Error: failure(mcp.INTERNAL_ERROR, "the result could not be encoded")})
	}
}

// engine hands a message to mcp-go. A panic becomes an internal error; what
// caused it is logged, and not sent.
func (c *conn) engine(ctx context.Context, line []byte) (resp mcp.JSONRPCMessage) {
	defer func() {
		if p := recover(); p != nil {
			c.opts.Log.Error("panic", "value", p, "stack", string(debug.Stack()))
			resp = mcp.JSONRPCError{Error: *failure(mcp.INTERNAL_ERROR, "internal error; the server goes on")}
		}
	}()
	return c.srv.HandleMessage(ctx, line)
}

// enter records r, waiting while too much is unanswered. It reports false
// when a request with the same id is open.
func (c *conn) enter(r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.pending > 0 && (c.pending >= c.opts.MaxPending || c.bytes+r.size > c.opts.MaxPendingBytes) {
		c.room.Wait()
	}
	if _, taken := c.open[r.key]; taken {
		return false
	}
	c.open[r.key] = r
	c.pending++
	c.bytes += r.size
	return true
}

// close lets a reader go that waits for room.
func (c *conn) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.room.Broadcast()
}

// leave forgets r.
func (c *conn) leave(r *request) {
	r.cancel()
	c.mu.Lock()
	if c.open[r.key] == r {
		delete(c.open, r.key)
	}
	c.pending--
	c.bytes -= r.size
	c.mu.Unlock()
	c.room.Signal()
}

// take removes and returns the open request with an id, nil when there is
// none.
func (c *conn) take(key string) *request {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.open[key]
	delete(c.open, key)
	return r
}
