package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// echo starts the bare server that this one is set beside.
func echo(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(buildDir, "echo")
	if _, err := os.Stat(path); err != nil {
		if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "hwledger/internal/echo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return exec.CommandContext(t.Context(), path, args...)
}

const echoArgs = `{"text":"hello"}`

// BenchmarkBesideEcho calls plan_memory and a bare mcp-go echo server by turns,
// one call after the other, and reports the median time of each and their
// ratio: 1 is as fast as echo. "same" repeats one plan; "other" plans another
// context each time.
func BenchmarkBesideEcho(b *testing.B) {
	n := 0
	for _, c := range []struct {
		name string
		args func() string
	}{
		{"same", func() string { return planArgs }},
		{"other", func() string { n++; return fmt.Sprintf(`{"context_tokens":%d,`, n%30_000+1) + planArgs[1:] }},
	} {
		b.Run("stdio/"+c.name, func(b *testing.B) { besideStdio(b, c.args) })
		b.Run("http/"+c.name, func(b *testing.B) { besideHTTP(b, c.args) })
	}
}

func besideStdio(b *testing.B, args func() string) {
	ours, theirs := start(b), startCommand(b, echo(b), nil)
	for _, s := range []*session{ours, theirs} {
		s.send(hello)
		s.receive()
		s.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	}
	id := 0
	beside(b, func() {
		id++
		ours.send(toolCall(id, "plan_memory", args()))
		ours.answered(`"verdict"`)
	}, func() {
		id++
		theirs.send(toolCall(id, "echo", echoArgs))
		theirs.answered(`hello`)
	})
	ours.end()
	theirs.end()
}

// answered reads a line, and wants it to hold what a good answer does. It
// leaves it at that: the time of reading JSON is not the server's.
func (s *session) answered(want string) {
	line, err := s.out.ReadSlice('\n')
	if err != nil || !bytes.Contains(line, []byte(want)) {
		s.t.Fatalf("%v: %.200s", err, line)
	}
}

func besideHTTP(b *testing.B, args func() string) {
	ours, theirs := listenHTTP(b, nil, "http"), awaitAddress(b, echo(b, "-http"))
	post := func(l *listening, tool string, args func() string) func() {
		client := &http.Client{Transport: &http.Transport{}}
		return func() {
			status, body, err := l.post(client, "tools/call", tool, `"name":"`+tool+`","arguments":`+args())
			if err != nil || status != http.StatusOK {
				b.Fatalf("%v: %d %.200s", err, status, body)
			}
		}
	}
	beside(b, post(ours, "plan_memory", args), post(theirs, "echo", func() string { return echoArgs }))
	ours.stop()
	_ = theirs.cmd.Process.Signal(syscall.SIGTERM)
	_ = theirs.cmd.Wait() // ended by the signal
}

// beside calls ours and theirs by turns, 20 calls of each, so that what else
// the machine does falls on both.
func beside(b *testing.B, ours, theirs func()) {
	const turn = 20
	var took [2][]time.Duration
	calls := [2]func(){ours, theirs}
	for range 5 * turn {
		ours()
		theirs()
	}
	for b.Loop() {
		for i, call := range calls {
			for range turn {
				from := time.Now()
				call()
				took[i] = append(took[i], time.Since(from))
			}
		}
	}
	var median [2]time.Duration
	for i := range took {
		slices.Sort(took[i])
		median[i] = took[i][len(took[i])/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(median[0].Nanoseconds())/1000, "plan-µs")
	b.ReportMetric(float64(median[1].Nanoseconds())/1000, "echo-µs")
	b.ReportMetric(float64(median[1])/float64(median[0]), "of-echo's-rate")
}
