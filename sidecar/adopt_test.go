package sidecar_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hwledger/sidecar"
	"hwledger/sidecar/proc"
)

// supervised starts another supervisor with one sidecar, and returns it with
// what it says of the sidecar.
func supervised(t *testing.T, dir, mode string, lifetime sidecar.Lifetime) (supervisor *exec.Cmd, id string, pid int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), modeEnv+"=supervisor", "DIR="+dir, "CHILD="+mode, "LIFETIME="+string(lifetime))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	})
	for s := bufio.NewScanner(out); s.Scan(); {
		if n, _ := fmt.Sscanf(s.Text(), "ready %s %d", &id, &pid); n == 2 {
			return cmd, id, pid
		}
		if strings.HasPrefix(s.Text(), "failed") {
			t.Fatal(s.Text())
		}
	}
	t.Fatal("the supervisor ended")
	return nil, "", 0
}

// kill ends the supervisor as a crash would.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// A session sidecar ends with its supervisor, however that ends.
func TestOrphanEnds(t *testing.T) {
	dir := t.TempDir()
	cmd, id, pid := supervised(t, dir, "serve", sidecar.Session)
	kill(t, cmd)
	eventually(t, "the end of the child", func() bool { _, err := proc.Identify(pid); return err != nil })
	m := manager(t, func(o *sidecar.Options) { o.Dir = dir })
	if all := m.List(); len(all) != 0 {
		t.Errorf("%d sidecars are known", len(all))
	}
	if _, err := os.Stat(filepath.Join(dir, id)); !os.IsNotExist(err) {
		t.Errorf("its files are left: %v", err)
	}
}

// programs is how many processes with the mark run this program: those of
// Windows have a console beside them.
func programs(mark string) (n int) {
	self, err := proc.Identify(os.Getpid())
	for _, pid := range proc.AllMarked(mark) {
		if i, e := proc.Identify(pid); err == nil && e == nil && i.Exe == self.Exe {
			n++
		}
	}
	return n
}

// What a session sidecar's processes left behind is ended by the next run.
func TestOrphanedGrandchildren(t *testing.T) {
	dir := t.TempDir()
	cmd, id, _ := supervised(t, dir, "grandchildren", sidecar.Session)
	mark := "HWLEDGER_SIDECAR=" + id
	eventually(t, "the grandchildren", func() bool { return programs(mark) == 3 })
	kill(t, cmd)
	eventually(t, "the end of the child", func() bool { return programs(mark) == outliveOwner })
	m := manager(t, func(o *sidecar.Options) { o.Dir = dir })
	m.List()
	if left := proc.AllMarked(mark); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// A detached sidecar outlives its supervisor, is adopted by the next, answers
// with the key that it had, and is stopped.
func TestAdoption(t *testing.T) {
	dir := t.TempDir()
	cmd, id, pid := supervised(t, dir, "serve", sidecar.Detached)
	// While its supervisor lives it is nobody else's.
	other := manager(t, func(o *sidecar.Options) { o.Dir = dir })
	if all := other.List(); len(all) != 0 {
		t.Errorf("another server's sidecar was adopted: %+v", all[0])
	}
	kill(t, cmd)
	if _, err := proc.Identify(pid); err != nil {
		t.Fatalf("it did not outlive its supervisor: %v", err)
	}
	m := manager(t, func(o *sidecar.Options) { o.Dir = dir })
	st := settle(t, m, id)
	if st.State != sidecar.Ready || st.PID != pid || st.Lifetime != sidecar.Detached {
		t.Fatalf("%+v %+v", st, st.Failure)
	}
	if r, err := m.Call(t.Context(), id, sidecar.Call{Prompt: "still there"}, nil); err != nil || r.Text != "still there" {
		t.Errorf("%v: %+v", err, r)
	}
	if log, err := m.LogText(id); err != nil || !strings.Contains(log, "fake engine version") {
		t.Errorf("%v: its log is lost: %q", err, log)
	}
	// A server that ends in order leaves it to the next as well.
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	last := manager(t, func(o *sidecar.Options) { o.Dir, o.Recorder = dir, rec })
	if st := settle(t, last, id); st.State != sidecar.Ready {
		t.Fatalf("%+v", st)
	}
	if st, err := last.Stop(t.Context(), id); err != nil || st.State != sidecar.Stopped {
		t.Errorf("%v: %s", err, st.State)
	}
	if exit := rec.last(t, "exit"); exit["how"] != "ended" {
		t.Errorf("%v", exit)
	}
	gone(t, st)
}

// An adopted sidecar that ends by itself is noticed.
func TestAdoptedEnds(t *testing.T) {
	dir := t.TempDir()
	cmd, id, _ := supervised(t, dir, "serve", sidecar.Detached)
	kill(t, cmd)
	rec := &recorder{}
	m := manager(t, func(o *sidecar.Options) { o.Dir, o.Recorder = dir, rec })
	if st := settle(t, m, id); st.State != sidecar.Ready {
		t.Fatalf("%+v", st)
	}
	if got := rec.types(); got != "" {
		t.Errorf("of its start was recorded again: %s", got)
	}
	if _, err := m.Call(t.Context(), id, sidecar.Call{Prompt: "crash"}, nil); err == nil {
		t.Error("a call that crashed it was answered")
	}
	eventually(t, "its end", func() bool { st, err := m.Get(id); return err == nil && st.State.Over() })
	if st, err := m.Get(id); err != nil || st.State != sidecar.Failed || !strings.Contains(st.Reason, "while it was ready") {
		t.Errorf("%v: %+v", err, st)
	}
}

// A record whose number belongs to another process now is a stranger's: it is
// forgotten, and nobody is signalled.
func TestStrangersPID(t *testing.T) {
	stranger := exec.Command(os.Args[0])
	stranger.Env = append(os.Environ(), modeEnv+"=hang")
	stranger.SysProcAttr = apart() // a group that could be signalled
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill() // it may have ended
		_ = stranger.Wait()         // it was killed
	})
	now, err := proc.Identify(stranger.Process.Pid)
	if err != nil {
		t.Skip("processes cannot be identified here")
	}
	for name, change := range map[string]func(*proc.Identity){
		"another start": func(i *proc.Identity) { i.Start-- }, "another boot": func(i *proc.Identity) { i.Boot = "x" },
		"another program": func(i *proc.Identity) { i.Exe = "/bin/other"; i.Start = now.Start },
		"nobody":          func(i *proc.Identity) { *i = proc.Identity{} },
	} {
		t.Run(name, func(t *testing.T) {
			dir, id := t.TempDir(), "0123456789"
			who := now
			change(&who)
			raw, err := json.Marshal(map[string]any{"version": 1, "id": id, "engine": "fake", "model": "fake", "lifetime": "detached", "created": time.Now(), "process": who, "port": 9})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, id, "record.json"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			m := manager(t, func(o *sidecar.Options) { o.Dir = dir })
			if all := m.List(); len(all) != 0 {
				t.Errorf("it was adopted: %+v", all[0])
			}
			if !now.Same() {
				t.Fatal("the stranger was ended")
			}
			if _, err := os.Stat(filepath.Join(dir, id)); !os.IsNotExist(err) {
				t.Errorf("the record is kept: %v", err)
			}
		})
	}
}

// Records that cannot be read are no reason to fail, or to touch anything.
func TestDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	for id, text := range map[string]string{"0123456789": "{", "1123456789": `{"version":99}`, "2123456789": "", "not-an-id": "x"} {
		if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, id, "record.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What is left of one is ended, though its record does not say who it is.
	rest := exec.Command(os.Args[0])
	rest.Env = []string{modeEnv + "=hang", "HWLEDGER_SIDECAR=0123456789"}
	if err := rest.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- rest.Wait() }()
	m := manager(t, func(o *sidecar.Options) { o.Dir = dir })
	if all := m.List(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if err := <-ended; err == nil {
		t.Error("what was left has ended by itself")
	}
	for name, want := range map[string]bool{"not-an-id": true, "0123456789": false, "1123456789": true, "2123456789": false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("the folder %s is kept: %v", name, err == nil)
		}
	}
}
