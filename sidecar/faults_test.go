package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hwledger/calc/model"
	"hwledger/sidecar"
	"hwledger/sidecar/proc"
)

// manager runs the fakes, with short times.
func manager(t testing.TB, change func(*sidecar.Options)) *sidecar.Manager {
	t.Helper()
	o := sidecar.Options{Dir: t.TempDir(), Engines: fakeEngines(), Grace: 5 * time.Second, Pause: time.Millisecond}
	if change != nil {
		change(&o)
	}
	m := sidecar.New(o)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// launch starts a sidecar and waits for its being ready or its end.
func launch(t testing.TB, m *sidecar.Manager, s sidecar.Spec) *sidecar.Status {
	t.Helper()
	st, err := m.Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return settle(t, m, st.ID)
}

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// settle waits until the sidecar is ready or has ended.
func settle(t testing.TB, m *sidecar.Manager, id string) *sidecar.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := m.Wait(ctx, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if st.State != sidecar.Ready && !st.State.Over() {
		t.Fatalf("it is still %s: %s", st.State, st.Reason)
	}
	return st
}

// eventually asks until ok, for what nothing tells the end of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// gone fails unless nothing of the sidecar is left.
func gone(t testing.TB, st *sidecar.Status) {
	t.Helper()
	if pids := proc.AllMarked("HWLEDGER_SIDECAR=" + st.ID); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		mode, kind, cause, line string
		permanent               bool
	}{
		{"crash", sidecar.Crashed, "exit code 3", "no luck", false},
		{"out-of-memory", sidecar.OutOfMemory, "not enough memory", "4096.00 MiB", true},
		{"bound", sidecar.PortInUse, "its port", "couldn't bind", false},
		{"stranger", sidecar.PortInUse, "another process answers", "", false},
		{"keyless", sidecar.PortInUse, "asks for no key", "", false},
		{"other-key", sidecar.PortInUse, "does not take the sidecar's key", "", false},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			if c.mode == "stranger" && !leaves {
				t.Skip("what a child starts is of its group here, whatever it does")
			}
			m := manager(t, nil)
			st := launch(t, m, spec(c.mode, sidecar.Session))
			f := st.Failure
			if st.State != sidecar.Failed || f == nil || f.Kind != c.kind || !strings.Contains(f.Cause, c.cause) || !strings.Contains(strings.Join(f.Lines, "\n"), c.line) || f.Permanent != c.permanent {
				t.Errorf("%s: %+v", st.State, f)
			}
			gone(t, st)
		})
	}
}

func TestServe(t *testing.T) {
	for _, c := range []struct{ engine, mode string }{
		{"fake", "serve"}, {"fake-socket", "serve"}, {"fake", "flood"}, {"fake", "silent"}, {"fake", "grandchildren"}, {"fake-helper", "helper"},
	} {
		t.Run(c.engine+" "+c.mode, func(t *testing.T) {
			t.Parallel()
			m := manager(t, nil)
			s := spec(c.mode, sidecar.Session)
			s.Engine = c.engine
			st := launch(t, m, s)
			if st.State != sidecar.Ready {
				t.Fatalf("%s: %+v", st.State, st.Failure)
			}
			var got strings.Builder
			r, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "one two three"}, func(s string) { got.WriteString(s) })
			if err != nil || r.Text != "one two three" || got.String() != r.Text || r.CompletionTokens != 3 || r.FinishReason != "stop" {
				t.Errorf("%v: %+v, streamed %q", err, r, got.String())
			}
			after, err := m.Stop(t.Context(), st.ID)
			if err != nil || after.State != sidecar.Stopped {
				t.Errorf("%v: %s", err, after.State)
			}
			gone(t, st)
			if _, err := os.Stat(filepath.Dir(st.KeyFile)); st.KeyFile != "" && !errors.Is(err, os.ErrNotExist) {
				t.Error("its files are left")
			}
		})
	}
}

// An engine that reads its key from a file gets one, which is neither on its
// command line nor in its log; nobody else can name the file.
func TestKeyByFile(t *testing.T) {
	m := manager(t, nil)
	e, err := m.Engine("fake-config")
	if err != nil {
		t.Fatal(err)
	}
	s := spec("serve", sidecar.Session)
	if s.Engine = "fake-config"; s.Args != nil {
		t.Fatal("it has arguments")
	}
	if s.Args, err = e.WithOwnArgs(nil, map[string]bool{"--config": true}); err != nil {
		t.Fatal(err)
	}
	st := launch(t, m, s)
	if st.State != sidecar.Ready || st.KeyFile == "" {
		t.Fatalf("%+v %+v", st, st.Failure)
	}
	key, err := os.ReadFile(st.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	log, err := m.LogText(st.ID)
	if err != nil || strings.Contains(log, strings.TrimSpace(string(key))) || !strings.Contains(log, "settings: api-key: [secret]") || !strings.Contains(log, "false") {
		t.Errorf("%v: %s", err, log)
	}
	if r, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "x"}, nil); err != nil || r.Text != "x" {
		t.Errorf("%v: %+v", err, r)
	}
	if _, err := e.WithOwnArgs([]string{"--config", "/etc/passwd"}, map[string]bool{"--config": true}); !isCode(err, model.Denied) {
		t.Errorf("a file of the caller's: %v", err)
	}
	if args, err := e.WithOwnArgs(nil, map[string]bool{}); err != nil || len(args) != 0 {
		t.Errorf("an option that it does not have: %v: %q", err, args)
	}
}

// One that does not end when it is asked is killed after the grace.
func TestStubborn(t *testing.T) {
	m := manager(t, func(o *sidecar.Options) { o.Grace = 50 * time.Millisecond })
	st := launch(t, m, spec("stubborn", sidecar.Session))
	if st.State != sidecar.Ready {
		t.Fatalf("%s: %+v", st.State, st.Failure)
	}
	if _, err := m.Stop(t.Context(), st.ID); err != nil {
		t.Fatal(err)
	}
	gone(t, st)
}

// One that shows no progress is given up.
func TestHang(t *testing.T) {
	m := manager(t, nil)
	s := spec("hang", sidecar.Session)
	s.Stall = 100 * time.Millisecond
	st := launch(t, m, s)
	if st.State != sidecar.Failed || st.Failure.Kind != sidecar.Stalled {
		t.Errorf("%s: %+v", st.State, st.Failure)
	}
	gone(t, st)
}

// One that was ready and does not answer any more is started again.
func TestFrozen(t *testing.T) {
	for _, c := range []struct{ engine, mode string }{{"fake", "serve"}, {"fake-helper", "helper"}} {
		t.Run(c.engine, func(t *testing.T) {
			m := manager(t, func(o *sidecar.Options) { o.Check, o.Grace = 100*time.Millisecond, 20*time.Millisecond })
			s := spec(c.mode, sidecar.Session)
			s.Engine = c.engine
			st := launch(t, m, s)
			if err := freeze(st.PID); err != nil {
				t.Fatal(err)
			}
			eventually(t, "another start", func() bool {
				now, err := m.Get(st.ID)
				return err == nil && now.Restarts > 0 && now.State == sidecar.Ready && now.PID != st.PID && now.Failure.Kind == sidecar.Stalled
			})
		})
	}
}

// A stop during the start works, and a late start is waited for.
func TestLate(t *testing.T) {
	m := manager(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	s := spec("late", sidecar.Session)
	s.Env["GATE"] = gate
	first, err := m.Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Call(t.Context(), first.ID, sidecar.Call{Prompt: "x"}, nil); !isCode(err, model.NotReady) {
		t.Errorf("a call before it is ready: %v", err)
	}
	if st, err := m.Stop(t.Context(), first.ID); err != nil || st.State != sidecar.Stopped {
		t.Errorf("%v: %s", err, st.State)
	}
	second, err := m.Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st := settle(t, m, second.ID); st.State != sidecar.Ready {
		t.Errorf("%s: %+v", st.State, st.Failure)
	}
}

func isCode(err error, code model.Code) bool {
	var e *model.Error
	return errors.As(err, &e) && e.Code == code
}

// One that crashes when it was ready is started again, until it crashed too
// often.
func TestCrashWhenReady(t *testing.T) {
	m := manager(t, nil)
	st := launch(t, m, spec("serve", sidecar.Session))
	for n := 1; n < 5; n++ {
		if _, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "crash"}, nil); err == nil {
			t.Fatal("a call that crashed it was answered")
		}
		eventually(t, "another start", func() bool {
			now, err := m.Get(st.ID)
			return err == nil && now.Restarts == n && now.State == sidecar.Ready
		})
	}
	_, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "crash"}, nil)
	if err == nil {
		t.Fatal("a call that crashed it was answered")
	}
	eventually(t, "its end", func() bool { now, err := m.Get(st.ID); return err == nil && now.State == sidecar.Failed })
	now, err := m.Get(st.ID)
	if err != nil || now.Failure == nil || !strings.Contains(now.Failure.Cause, "exit code 9") || !strings.Contains(strings.Join(now.Failure.Lines, ""), "GGML_ASSERT") {
		t.Errorf("%v: %+v", err, now.Failure)
	}
}

// A call ends with its caller, and with its sidecar.
func TestCallEnds(t *testing.T) {
	for _, engine := range []string{"fake", "fake-helper"} {
		t.Run(engine, func(t *testing.T) {
			m := manager(t, nil)
			s := spec(map[string]string{"fake": "serve", "fake-helper": "helper"}[engine], sidecar.Session)
			s.Engine = engine
			st := launch(t, m, s)
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			hang := func(ctx context.Context) {
				_, err := m.Call(ctx, st.ID, sidecar.Call{Prompt: "hang"}, nil)
				failed <- err
			}
			running := func() bool { now, err := m.Get(st.ID); return err == nil && now.Calls == 1 }
			go hang(ctx)
			eventually(t, "the call", running)
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			if r, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "again"}, nil); err != nil || r.Text != "again" {
				t.Errorf("after a cancelled call: %v", err)
			}
			go hang(t.Context())
			eventually(t, "the call", running)
			if _, err := m.Stop(t.Context(), st.ID); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; !isCode(err, model.NotReady) {
				t.Errorf("stopped: %v", err)
			}
		})
	}
}

func TestCallRefused(t *testing.T) {
	m := manager(t, nil)
	st := launch(t, m, spec("serve", sidecar.Session))
	_, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "refuse"}, nil)
	if !isCode(err, model.InvalidArgument) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v", err)
	}
}

// A sidecar that nobody calls ends after its time to live.
func TestTTL(t *testing.T) {
	m := manager(t, nil)
	s := spec("serve", sidecar.Session)
	s.TTL = 50 * time.Millisecond
	st := launch(t, m, s)
	eventually(t, "its end", func() bool { now, err := m.Get(st.ID); return err == nil && now.State == sidecar.Stopped })
	gone(t, st)
}

// An option that is refused, or a word with control characters, starts
// nothing.
func TestRefusedOptions(t *testing.T) {
	m := manager(t, nil)
	for arg, code := range map[string]model.Code{"--danger": model.Denied, "--danger=1": model.Denied, "a\nb": model.InvalidArgument, "\x00": model.InvalidArgument} {
		s := spec("serve", sidecar.Session)
		s.Args = []string{arg}
		if _, err := m.Launch(t.Context(), s); !isCode(err, code) {
			t.Errorf("%q: %v", arg, err)
		}
	}
}

// Fifty at once come and go, and leave nothing.
func TestParallel(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: fakeEngines(), Grace: 20 * time.Second})
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for i := range 50 {
		wg.Go(func() {
			s := spec("serve", sidecar.Session)
			switch i % 5 {
			case 0:
				s.Engine = "fake-socket"
			case 1:
				s = spec("helper", sidecar.Session)
				s.Engine = "fake-helper"
			}
			st, err := m.Launch(t.Context(), s)
			if err != nil {
				t.Error(err)
				return
			}
			if st, err = m.Wait(t.Context(), st.ID, nil); err != nil || st.State != sidecar.Ready {
				t.Errorf("%v: %s %+v", err, st.State, st.Failure)
				return
			}
			mu.Lock()
			if seen[st.Endpoint] && st.Endpoint != "stdio" {
				t.Errorf("%s is used twice", st.Endpoint)
			}
			seen[st.Endpoint] = true
			mu.Unlock()
			if r, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: strconv.Itoa(i)}, nil); err != nil || r.Text != strconv.Itoa(i) {
				t.Errorf("%v: %+v", err, r)
			}
			if _, err := m.Stop(t.Context(), st.ID); err != nil {
				t.Error(err)
			}
			gone(t, st)
		})
	}
	wg.Wait()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	for address := range seen {
		if host, ok := strings.CutPrefix(address, "http://"); ok {
			if c, err := net.Dial("tcp", host); err == nil {
				c.Close()
				t.Errorf("%s still answers", host)
			}
		}
	}
	eventually(t, fmt.Sprintf("goroutines back at %d", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, fmt.Sprintf("descriptors back at %d", descriptors), func() bool { return openFiles(t) <= descriptors })
}

func openFiles(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0 // they cannot be counted
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
