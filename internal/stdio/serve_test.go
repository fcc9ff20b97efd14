package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// Each of these fails with -stock, except where it says so.

func TestAnswersAtEndOfInput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{})
		p.send(initialize, call("1", "slow", `"ms":300`), call("2", "echo", `"text":"a"`))
		<-p.tools.started
		lines := p.finish()
		for _, id := range []string{"1", "2"} {
			if r := find(lines, id); r == nil || r.Error != nil {
				t.Errorf("call %s was not answered: %v", id, lines)
			}
		}
	})
}

func TestNotificationsBeforeTheirResult(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{})
		p.send(initialize, call("1", "notify", `"n":90`))
		p.wait("1")
		time.Sleep(10 * time.Millisecond) // on the fake clock: past the late notification
		notes := 0
		answered := false
		for _, r := range decode(p.finish()) {
			switch {
			case r.Method != "" && answered:
				t.Fatalf("%s after the result", r.Method)
			case r.Method != "":
				notes++
			case string(r.ID) == "1":
				answered = true
			}
		}
		if notes != 90 {
			t.Errorf("%d notifications, want 90", notes)
		}
	})
}

func TestCancelledIsNotAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{})
		p.send(initialize, call("1", "block", ""), call(`"1"`, "slow", `"ms":50`))
		<-p.tools.started
		<-p.tools.started
		p.send(cancelled("1"))
		lines := p.finish()
		if r := find(lines, "1"); r != nil {
			t.Errorf("the cancelled call was answered: %+v", r)
		}
		if n := p.tools.cancelled.Load(); n != 1 {
			t.Errorf("%d calls saw their context end, want 1", n)
		}
		if r := find(lines, `"1"`); r == nil || r.Error != nil {
			t.Errorf("the call with the other id \"1\" was not answered: %v", lines)
		}
	})
}

func TestInitializeIsAnsweredFirst(t *testing.T) {
	for range 20 {
		p := connect(t, Options{})
		p.send(initialize, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, call("2", "echo", ""))
		p.wait("1")
		p.wait("2")
		lines := p.finish()
		if r := decode(lines)[0]; string(r.ID) != `"init"` {
			t.Fatalf("answered %s before initialize", r.ID)
		}
	}
}

func TestRequestsBeforeInitializeAreRefused(t *testing.T) {
	p := connect(t, Options{})
	p.send(`{"jsonrpc":"2.0","id":0,"method":"ping"}`, call("1", "echo", ""), `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, initialize, call("3", "echo", ""))
	p.wait("3")
	lines := p.finish()
	for _, id := range []string{"1", "2"} {
		r := find(lines, id)
		if r == nil || r.Error == nil || r.Error.Code != mcp.INVALID_REQUEST || !strings.Contains(r.Error.Message, "initialize") {
			t.Errorf("request %s: %+v", id, r)
		}
	}
	for _, id := range []string{"0", "3"} {
		if r := find(lines, id); r == nil || r.Error != nil {
			t.Errorf("request %s was refused: %+v", id, r)
		}
	}
}

func TestLongLines(t *testing.T) {
	big := strings.Repeat(`x\"}{`, 1<<18)
	p := connect(t, Options{MaxLine: 1 << 20})
	p.send(initialize,
		call("1", "echo", `"text":"`+big+`"`),
		`{"method":"tools/call","params":{"name":"echo","id":9,"arguments":{"text":"`+big+`"}},"jsonrpc":"2.0","id":"last"}`,
		`{"method":"`+big+`"}`,
		call("2", "echo", `"text":"`+strings.Repeat("y", 1<<20-200)+`"`))
	p.wait("2")
	lines := p.finish()
	for _, id := range []string{"1", `"last"`, "null"} {
		r := find(lines, id)
		if r == nil || r.Error == nil || r.Error.Code != mcp.INVALID_REQUEST || !strings.Contains(r.Error.Message, "1048576 bytes") {
			t.Errorf("the long line with id %s: %+v", id, r)
		}
	}
	if r := find(lines, "2"); r == nil || r.Error != nil {
		t.Errorf("the line after was lost")
	}
}

func TestIDsComeBackAsWritten(t *testing.T) {
	p := connect(t, Options{})
	p.send(initialize)
	ids := []string{"9007199254740993", "-1", "1.50", `"é\u00e9\n"`, `""`, `"7"`, "7", "1e400"}
	for _, id := range ids {
		p.send(call(id, "echo", "")) // 1e400 is no number in Go: refused, and answered
	}
	lines := p.finish()
	for _, id := range ids {
		if find(lines, id) == nil {
			t.Errorf("id %s: no answer in %v", id, lines)
		}
	}
}

func TestLinesThatAreNoMessage(t *testing.T) {
	cases := []struct {
		line, id string
		code     int
	}{
		{`{"jsonrpc":"2.0",`, "null", mcp.PARSE_ERROR}, // stock passes this one
		{`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "null", mcp.INVALID_REQUEST},
		{`[]`, "null", mcp.INVALID_REQUEST},
		{`[`, "null", mcp.PARSE_ERROR},
		{`7`, "null", mcp.INVALID_REQUEST},
		{`"ping"`, "null", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"2.0","id":null,"method":"ping"}`, "null", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"2.0","id":{},"method":"ping"}`, "null", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"2.0","id":[1],"method":"ping"}`, "null", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"2.0","id":31}`, "31", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"1.0","id":32,"method":"ping"}`, "32", mcp.INVALID_REQUEST},
		{`{"id":33,"method":"ping"}`, "33", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"2.0","id":34,"method":7}`, "34", mcp.INVALID_REQUEST},
		{`{"jsonrpc":"2.0","id":35,"method":"no/such"}`, "35", mcp.METHOD_NOT_FOUND},
		{strings.Repeat(`{"a":`, 20000), "null", mcp.PARSE_ERROR},
		{"\xff\xfe", "null", mcp.PARSE_ERROR},
	}
	for _, c := range cases {
		p := connect(t, Options{})
		p.send(initialize, "", "  ", c.line, call("99", "echo", ""))
		p.wait("99")
		lines := p.finish()
		r := find(lines, c.id)
		if r == nil || r.Error == nil || r.Error.Code != c.code {
			t.Errorf("%.60q: got %+v, want code %d", c.line, r, c.code)
		}
		if len(lines) != 3 {
			t.Errorf("%.60q: %d lines, want 3", c.line, len(lines))
		}
	}
}

func TestCallsRunBesideEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{})
		start := time.Now()
		p.send(initialize)
		for i := range 12 {
			p.send(call(strconv.Itoa(i), "slow", `"ms":500`))
		}
		for i := range 12 {
			p.wait(strconv.Itoa(i))
		}
		if d := time.Since(start); d > 600*time.Millisecond {
			t.Errorf("12 calls of 0.5 s took %v", d)
		}
		p.finish()
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, Options{MaxRunning: 3, MaxPending: 5})
		p.send(initialize)
		for i := range 40 {
			p.send(call(strconv.Itoa(i), "slow", `"ms":10`))
		}
		lines := p.finish()
		if len(lines) != 41 || p.tools.ran.Load() != 40 || p.tools.most.Load() != 3 {
			t.Errorf("%d lines, %d calls ran, %d at once; want 41, 40, 3", len(lines), p.tools.ran.Load(), p.tools.most.Load())
		}
	})
}

func TestCancelledWhileWaitingNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, Options{MaxRunning: 1})
		p.send(initialize, call("1", "slow", `"ms":100`))
		<-p.tools.started
		p.send(call("2", "echo", ""), call("3", "echo", ""), cancelled("2"))
		lines := p.finish()
		if find(lines, "2") != nil || find(lines, "3") == nil || p.tools.ran.Load() != 2 {
			t.Errorf("%d calls ran: %v", p.tools.ran.Load(), lines)
		}
	})
}

func TestIDInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, Options{})
		p.send(initialize, call("1", "slow", ""))
		<-p.tools.started
		p.send(call("1", "echo", ""))
		lines := p.finish()
		var codes []int
		for _, r := range decode(lines)[1:] {
			if r.Error != nil {
				codes = append(codes, r.Error.Code)
			} else {
				codes = append(codes, 0)
			}
		}
		if len(codes) != 2 || codes[0] != mcp.INVALID_REQUEST || codes[1] != 0 {
			t.Errorf("codes %v, want the second call refused and the first answered", codes)
		}
	})
}

func TestPanicIsAnInternalError(t *testing.T) {
	p := connect(t, Options{})
	p.send(initialize, call("1", "panic", ""), call("2", "echo", ""))
	p.wait("1")
	p.wait("2")
	r := find(p.finish(), "1")
	if r.Error == nil || r.Error.Code != mcp.INTERNAL_ERROR || strings.Contains(r.Error.Message, "secret") {
		t.Errorf("got %+v, want an internal error without its cause", r.Error)
	}
}

func TestStreamsEndWithTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, Options{})
		start := time.Now()
		p.send(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`)
		synctest.Wait()
		p.finish()
		if d := time.Since(start); d > 0 {
			t.Errorf("an open stream held the server for %v", d)
		}
	})
}

func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, Options{Drain: time.Second})
		p.send(initialize, call("1", "block", ""))
		<-p.tools.started
		start := time.Now()
		p.in.Close()
		if err := <-p.served; err == nil || time.Since(start) != time.Second {
			t.Errorf("ended after %v with %v, want an error after 1 s", time.Since(start), err)
		}
	})
}

func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, Options{})
		p.send(initialize, call("1", "block", ""))
		<-p.tools.started
		p.cancel()
		if err := <-p.served; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		p.in.Close()
	})
}

type closedOutput struct{}

func (closedOutput) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestClosedOutputEnds(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, initialize+"\n") }()
	err := Serve(t.Context(), (&fakeTools{}).server(), r, closedOutput{}, Options{})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestVersions(t *testing.T) {
	for asked, want := range map[string]string{
		"2024-11-05": "2024-11-05", "2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
		"1999-01-01": "2025-11-25",
	} {
		p := connect(t, Options{})
		p.send(strings.Replace(initialize, "2025-11-25", asked, 1), call("1", "echo", ""))
		p.wait("1")
		lines := p.finish()
		var got struct{ ProtocolVersion string }
		if err := json.Unmarshal(find(lines, `"init"`).Result, &got); err != nil || got.ProtocolVersion != want {
			t.Errorf("asked for %s, got %q, want %s (%v)", asked, got.ProtocolVersion, want, err)
		}
	}
}

func TestStateless(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	p := connect(t, Options{})
	p.send(`{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{`+meta+`}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"},`+meta+`}}`,
		call("3", "echo", ""))
	lines := p.finish()
	var found struct {
		SupportedVersions []string
		ResultType        string
	}
	if r := find(lines, "1"); r == nil || json.Unmarshal(r.Result, &found) != nil || found.SupportedVersions[0] != "2026-07-28" || found.ResultType != "complete" {
		t.Errorf("server/discover: %+v", r)
	}
	if r := find(lines, "2"); r == nil || r.Error != nil || !strings.Contains(string(r.Result), "hi") {
		t.Errorf("a stateless call: %+v", r)
	}
	if r := find(lines, "3"); r == nil || r.Error == nil {
		t.Errorf("a call of the older era without initialize: %+v", r)
	}
}

func TestManyCalls(t *testing.T) {
	const n = 1000
	p := connect(t, Options{})
	p.send(initialize)
	for i := range n {
		p.send(call(strconv.Itoa(i), "echo", `"text":"`+strconv.Itoa(i)+`"`))
	}
	if lines := p.finish(); len(lines) != n+1 {
		t.Errorf("%d answers, want %d", len(lines), n+1)
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(initialize + "\n" + call("1", "echo", "") + "\n" + cancelled("1") + "\n"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`))
	f.Add([]byte("[\n]\n{\n\"\\\"\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := &output{arrived: make(chan struct{}, 1)}
		tools := &fakeTools{started: make(chan string, 100000)}
		srv := tools.server()
		srv.DeleteTools("slow", "block")
		if err := Serve(t.Context(), srv, strings.NewReader(string(in)), out, Options{MaxLine: 4096}); err != nil {
			t.Fatal(err)
		}
		for _, l := range out.lines() {
			if !json.Valid([]byte(l)) {
				t.Fatalf("not a line of JSON: %q", l)
			}
		}
	})
}
