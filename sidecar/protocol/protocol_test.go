package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/sourcegraph/jsonrpc2"
)

// TestMain is an echoing helper when it is asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("FAKE_HELPER") != "" {
		Serve(context.Background(), os.Stdin, os.Stdout, echo{})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// echo answers with what it is asked.
type echo struct{}

func (echo) Initialize(context.Context, InitializeParams) (*InitializeResult, error) {
	return &InitializeResult{ProtocolVersion: Version, Name: "echo", Version: "1"}, nil
}

func (echo) Load(_ context.Context, p LoadParams, progress func(ProgressParams)) (*LoadResult, error) {
	progress(ProgressParams{Message: "half", Done: 1, Total: 2})
	if p.Model == "" {
		return nil, errors.New("no model")
	}
	return &LoadResult{Model: p.Model}, nil
}
func (echo) Unload(context.Context) error { return nil }
func (echo) Memory(context.Context) (*MemoryResult, error) {
	return &MemoryResult{Buffers: []Buffer{{Kind: "weights", Bytes: 1}}, Resident: 2, Peak: 3}, nil
}

func (echo) Generate(ctx context.Context, p GenerateParams, token func(string)) (*GenerateResult, error) {
	if p.Prompt == "wait" {
		<-ctx.Done()
		return &GenerateResult{FinishReason: "cancelled"}, nil
	}
	for _, r := range p.Prompt {
		token(string(r))
	}
	return &GenerateResult{Text: p.Prompt, FinishReason: "stop", CompletionTokens: int64(len(p.Prompt))}, nil
}

// pair connects a client with a helper over pipes. What passes goes to
// recorded as well.
func pair(t testing.TB, recorded io.Writer) (*Client, *bytes.Buffer) {
	t.Helper()
	fromClient, toHelper := io.Pipe()
	fromHelper, toClient := io.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		Serve(context.Background(), io.TeeReader(fromClient, recorded), toClient, echo{})
		toClient.Close()
	}()
	noise := &bytes.Buffer{}
	c := Connect(context.Background(), io.TeeReader(fromHelper, recorded), toHelper, func(b []byte) { noise.Write(append(b, '\n')) })
	t.Cleanup(func() { c.Close(); <-served })
	return c, noise
}

// synced is a writer for two goroutines.
type synced struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// Every method works, and every line of it is valid by the schema.
func TestMethods(t *testing.T) {
	wire := &synced{}
	c, _ := pair(t, wire)
	ctx := t.Context()
	if hello, err := c.Initialize(ctx, "test"); err != nil || hello.Name != "echo" {
		t.Fatalf("%v: %+v", err, hello)
	}
	var progress []ProgressParams
	c.OnProgress(func(p ProgressParams) { progress = append(progress, p) })
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	if l, err := c.Load(ctx, LoadParams{Model: "m", ContextTokens: 5, Arguments: []string{"a"}}); err != nil || l.Model != "m" || len(progress) != 1 || progress[0].Total != 2 {
		t.Errorf("%v: %+v %+v", err, l, progress)
	}
	if _, err := c.Load(ctx, LoadParams{}); err == nil || Code(err) != jsonrpc2.CodeInternalError {
		t.Errorf("a failure: %v", err)
	}
	if m, err := c.Memory(ctx); err != nil || m.Buffers[0].Bytes != 1 || m.Resident != 2 || m.Peak != 3 {
		t.Errorf("%v: %+v", err, m)
	}
	var got strings.Builder
	if g, err := c.Generate(ctx, GenerateParams{Prompt: "häß"}, func(s string) { got.WriteString(s) }); err != nil || g.Text != "häß" || got.String() != "häß" {
		t.Errorf("%v: %+v, streamed %q", err, g, got.String())
	}
	stopped, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := c.Generate(stopped, GenerateParams{Prompt: "wait", Messages: []Message{{"user", "x"}}}, nil)
		done <- err
	}()
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := c.call(ctx, "nonsense", Empty{}, nil); Code(err) != jsonrpc2.CodeMethodNotFound {
		t.Errorf("an unknown method: %v", err)
	}
	if err := errors.Join(c.Unload(ctx), c.Shutdown(ctx)); err != nil {
		t.Error(err)
	}
	<-c.Done()
	valid(t, wire.b.String())
}

// valid checks lines with somebody else's validator.
func valid(t *testing.T, wire string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("mem:///schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("mem:///schema.json")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(wire) {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if strings.Contains(line, "nonsense") {
			continue
		}
		n++
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s%v", line, err)
		}
	}
	if n < 20 {
		t.Errorf("only %d lines", n)
	}
	for _, bad := range []string{`{"jsonrpc":"2.0","method":"ping"}`, `{"jsonrpc":"2.0","id":1,"method":"load","params":{}}`, `{"id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1}`} {
		if v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad)); err != nil || schema.Validate(v) == nil {
			t.Errorf("%s is valid", bad)
		}
	}
}

// Lines that are no messages go to the log, and the connection goes on.
func TestNoise(t *testing.T) {
	const answer = `{"jsonrpc":"2.0","id":0,"result":{"protocol_version":"1","name":"x"}}`
	for name, line := range map[string]string{
		"text": "Loading weights…", "broken": `{"jsonrpc":"2.0","id":`, "array": `[{"jsonrpc":"2.0","id":0,"result":{}}]`, "float id": `{"jsonrpc":"2.0","id":1.5,"result":{}}`,
		"another version": `{"jsonrpc":"1.0","id":0,"result":{}}`, "object": `{"loss":0.5}`, "neither": `{"jsonrpc":"2.0"}`, "unknown id": `{"jsonrpc":"2.0","id":99,"result":{}}`,
		"both": `{"jsonrpc":"2.0","id":0,"method":"x","result":{}}`, "null id": `{"jsonrpc":"2.0","id":null,"result":{}}`, "number": "17", "bytes": "\xff\xfe\x00",
		"long": "{" + strings.Repeat("x", MaxLine), "a request of ours": `{"jsonrpc":"2.0","id":5,"method":"ping"}`, "no params": `{"jsonrpc":"2.0","method":"token"}`,
		"bad params": `{"jsonrpc":"2.0","method":"token","params":[1]}`, "returns": "\r\n\r\n", "token of nobody": `{"jsonrpc":"2.0","method":"token","params":{"call":"9","text":"x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			asked, toHelper := io.Pipe()
			fromHelper, helper := io.Pipe()
			go func() {
				buf := make([]byte, 4096)
				if _, err := asked.Read(buf); err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, asked) }() // until it is closed
				fmt.Fprintf(helper, "%s\n%s\n", line, answer)
			}()
			c := Connect(t.Context(), fromHelper, toHelper, func([]byte) {})
			defer c.Close()
			if _, err := c.Initialize(t.Context(), "test"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A helper that ends, says nothing, or speaks another version fails the call.
func TestBroken(t *testing.T) {
	ended, w := io.Pipe()
	w.Close()
	in, toHelper := io.Pipe()
	go func() { _, _ = io.Copy(io.Discard, in) }() // until it is closed
	c := Connect(t.Context(), ended, toHelper, func([]byte) {})
	if _, err := c.Initialize(t.Context(), "test"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one that ended: %v", err)
	}
	silent, hold := io.Pipe()
	defer hold.Close()
	in2, toHelper2 := io.Pipe()
	go func() { _, _ = io.Copy(io.Discard, in2) }() // until it is closed
	c = Connect(t.Context(), silent, toHelper2, func([]byte) {})
	defer c.Close()
	c.Within = 20 * time.Millisecond
	if err := c.Ping(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that says nothing: %v", err)
	}
}

// A helper that does not read does not hold a call for ever.
func TestBlockedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := w.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Skip("pipes have no deadlines here")
	}
	s := newStream(strings.NewReader(""), shortly{w}, w.Close, func([]byte) {})
	if err := s.WriteObject(strings.Repeat("x", 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	// Half a line was written: nothing can follow it.
	if err := s.WriteObject("x"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after half a line: %v", err)
	}
}

// shortly is a file whose deadlines have passed.
type shortly struct{ *os.File }

func (f shortly) SetWriteDeadline(time.Time) error {
	return f.File.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
}

// Whatever comes, reading ends without a panic, and a good message after it is
// read.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":{}}`))
	f.Add([]byte("{\"jsonrpc\":\"2.0\",\"method\":\"token\",\"params\":{\"call\":\"1\",\"text\":\"x\"}}\nnoise\r\n{"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":-1,"error":{"code":1,"message":""}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := io.MultiReader(bytes.NewReader(b), strings.NewReader("\n"+`{"jsonrpc":"2.0","id":77,"method":"last"}`+"\n"))
		s := newStream(in, io.Discard, func() error { return nil }, func([]byte) {})
		for {
			var m jsonrpc2.Request
			if err := s.ReadObject(&m); err != nil {
				t.Fatalf("the last message was not read: %v", err)
			}
			if m.Method == "last" && m.ID.Num == 77 {
				return
			}
		}
	})
}

// BenchmarkRoundTrip is a call of a child over its pipes.
func BenchmarkRoundTrip(b *testing.B) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAKE_HELPER=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c := Connect(b.Context(), out, in, func([]byte) {})
	var each []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := c.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
		each = append(each, time.Since(began))
	}
	c.Close()
	_ = cmd.Wait() // it ends with its input
	slices.Sort(each)
	middle := each[len(each)/2] // what other programs on the machine disturb least
	b.ReportMetric(float64(middle.Nanoseconds())/1000, "µs-median")
	if len(each) > 100 && middle > 100*time.Microsecond {
		b.Errorf("a round trip takes %s, over 100 µs", middle)
	}
}

// The schema's definitions are those of the Go types.
func TestSchemaFields(t *testing.T) {
	var doc struct {
		Defs map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &doc); err != nil {
		t.Fatal(err)
	}
	temperature := 1.0
	for name, v := range map[string]any{
		"initialize.params": InitializeParams{"1", "x"}, "initialize.result": InitializeResult{"1", "x", "x"}, "load.params": LoadParams{"x", 1, 1, true, []string{"x"}},
		"load.result": LoadResult{"x"}, "memory.result": MemoryResult{[]Buffer{{}}, 1, 1}, "buffer": Buffer{"x", "x", 1}, "message": Message{"x", "x"},
		"generate.params": GenerateParams{"x", []Message{{}}, "x", 1, &temperature}, "generate.result": GenerateResult{"x", "x", 1, 1},
		"cancel.params": CancelParams{"x"}, "token.params": TokenParams{"x", "x"}, "progress.params": ProgressParams{"x", 1, 1},
	} {
		raw, err := json.Marshal(v)
		var fields map[string]json.RawMessage
		if err != nil || json.Unmarshal(raw, &fields) != nil {
			t.Fatal(err)
		}
		if len(fields) != len(doc.Defs[name].Properties) {
			t.Errorf("%s: the schema has %d fields, the type %d", name, len(doc.Defs[name].Properties), len(fields))
		}
		for f := range fields {
			if doc.Defs[name].Properties[f] == nil {
				t.Errorf("%s.%s is not in the schema", name, f)
			}
		}
	}
}
