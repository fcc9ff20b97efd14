package tools

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hwledger/internal/stdio"
	"hwledger/probe"
)

// idle lets ten minutes of a bubble's time pass.
func idle() { <-time.After(10 * time.Minute) }

// wire is a client of a surface over stdio, which reads one line at a time.
type wire struct {
	t     *testing.T
	in    *io.PipeWriter
	lines *bufio.Scanner
	ended chan error
}

func dial(t *testing.T, opts Options) *wire {
	t.Helper()
	srv, err := newSurface(t, opts).Server()
	if err != nil {
		t.Fatal(err)
	}
	in, to := io.Pipe()
	from, out := io.Pipe()
	w := &wire{t: t, in: to, lines: bufio.NewScanner(from), ended: make(chan error, 1)}
	w.lines.Buffer(nil, 1<<20)
	go func() {
		w.ended <- stdio.Serve(context.Background(), srv, in, out, stdio.Options{})
		out.Close()
	}()
	return w
}

func (w *wire) send(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w.in, format+"\n", args...); err != nil {
		w.t.Fatal(err)
	}
}

// next returns the next message of the server, as it came.
func (w *wire) next() string {
	w.t.Helper()
	if !w.lines.Scan() {
		w.t.Fatalf("the server closed: %v", w.lines.Err())
	}
	return w.lines.Text()
}

func (w *wire) close() {
	w.t.Helper()
	w.in.Close()
	if w.lines.Scan() {
		w.t.Errorf("more was sent: %.300s", w.lines.Text())
	}
	if err := <-w.ended; err != nil {
		w.t.Error(err)
	}
}

// changing is a machine with one card whose free memory a test moves, and how
// often it was read.
func changing() (opts Options, free, reads *atomic.Int64) {
	free, reads = &atomic.Int64{}, &atomic.Int64{}
	free.Store(20 << 30)
	source := probe.Source{Name: "fixed", Read: func(context.Context, *probe.System) probe.Reading {
		reads.Add(1)
		return probe.Reading{State: probe.OK, Devices: []probe.Device{rtx4090(free.Load())}, Host: &probe.Host{OS: "linux", Arch: "amd64"}}
	}}
	return Options{Machine: probe.NewSampler(probe.New(probe.Local(), source))}, free, reads
}

const hello = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}` + "\n" +
	`{"jsonrpc":"2.0","method":"notifications/initialized"}`

const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

const updated = `"method":"notifications/resources/updated"`

// A client that shook hands reads the resource, subscribes, and hears of what
// is material until it unsubscribes. Then nothing is read any more.
func TestHardwareResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, free, reads := changing()
		w := dial(t, opts)
		w.send("%s", hello)
		if got := w.next(); !strings.Contains(got, `"resources":{"subscribe":true}`) {
			t.Errorf("capabilities: %s", got)
		}
		w.send(`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`)
		if got := w.next(); !strings.Contains(got, `"uri":"hwledger://hardware"`) {
			t.Errorf("list: %s", got)
		}
		read := func(id int) HardwareProbe {
			w.send(`{"jsonrpc":"2.0","id":%d,"method":"resources/read","params":{"uri":"hwledger://hardware"}}`, id)
			var r struct {
				Result struct {
					Contents []struct{ URI, MIMEType, Text string }
				}
			}
			if err := json.Unmarshal([]byte(w.next()), &r); err != nil || len(r.Result.Contents) != 1 || r.Result.Contents[0].MIMEType != "application/json" {
				t.Fatalf("read: %v %+v", err, r)
			}
			var p HardwareProbe
			if err := json.Unmarshal([]byte(r.Result.Contents[0].Text), &p); err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := read(2); *p.Devices[0].Free != 20<<30 || p.Devices[0].Fields["free_bytes"].Source != "fixed" {
			t.Errorf("read: %+v", p.Devices[0])
		}
		w.send(`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":"hwledger://hardware"}}`)
		w.next()
		free.Store(4 << 30)
		if got := w.next(); !strings.Contains(got, updated) || !strings.Contains(got, `"uri":"hwledger://hardware"`) {
			t.Errorf("a change: %s", got)
		}
		p := read(4)
		if s := p.Devices[0].Sampled["free_bytes"]; *p.Devices[0].Free != 4<<30 || s.Min != 4<<30 || s.Max != 20<<30 {
			t.Errorf("read after the change: %+v", p.Devices[0])
		}
		w.send(`{"jsonrpc":"2.0","id":5,"method":"resources/unsubscribe","params":{"uri":"hwledger://hardware"}}`)
		w.next()
		free.Store(10 << 30)
		before := reads.Load()
		idle()
		if n := reads.Load() - before; n > 1 {
			t.Errorf("read %d times after the last subscriber went", n)
		}
		w.close()
	})
}

// A client of the protocol without sessions hears of changes on the stream it
// holds open, each with the stream's name, and ends it by cancelling.
func TestHardwareListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, free, reads := changing()
		w := dial(t, opts)
		w.send(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{%s,"uri":"hwledger://hardware"}}`, modern)
		if got := w.next(); !strings.Contains(got, `"ttlMs":0`) || !strings.Contains(got, "RTX 4090") {
			t.Errorf("clients may keep what changes: %s", got)
		}
		w.send(`{"jsonrpc":"2.0","id":"s1","method":"subscriptions/listen","params":{%s,"notifications":{"resourceSubscriptions":["hwledger://hardware","hwledger://hardware"]}}}`, modern)
		if got := w.next(); !strings.Contains(got, "notifications/subscriptions/acknowledged") {
			t.Fatalf("acknowledgement: %s", got)
		}
		synctest.Wait() // the first sample is taken
		free.Store(4 << 30)
		if got := w.next(); !strings.Contains(got, updated) || !strings.Contains(got, `"io.modelcontextprotocol/subscriptionId":"s1"`) {
			t.Errorf("a change: %s", got)
		}
		w.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s1"}}`)
		synctest.Wait()
		before := reads.Load()
		idle()
		if n := reads.Load() - before; n > 1 {
			t.Errorf("read %d times after the stream was cancelled", n)
		}
		w.close()
	})
}

// A client that leaves without a word takes its subscription with it.
func TestSubscriberLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, _, reads := changing()
		w := dial(t, opts)
		w.send("%s", hello)
		w.next()
		w.send(`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":"hwledger://hardware"}}`)
		w.next()
		w.close()
		before := reads.Load()
		idle()
		if n := reads.Load() - before; n > 1 {
			t.Errorf("read %d times after the client left", n)
		}
	})
}

// A surface without the tool has no resource.
func TestNoHardwareResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, Options{Toolsets: []string{"plan"}})
		w.send("%s", hello)
		if got := w.next(); strings.Contains(got, `"subscribe"`) {
			t.Errorf("capabilities: %s", got)
		}
		w.close()
	})
}
