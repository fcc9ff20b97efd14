//go:build linux

package proc

import (
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is a child of the kind that the environment names.
func TestMain(m *testing.M) {
	switch os.Getenv("CHILD") {
	case "":
		os.Exit(m.Run())
	case "echo":
		_, _ = os.Stdout.WriteString("out") // to a pipe that is read
		_, _ = os.Stderr.WriteString("err") // likewise
		os.Exit(7)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		_, _ = os.Stdout.WriteString("x") // as above
		select {}
	case "eof":
		_, _ = io.Copy(io.Discard, os.Stdin) // to its end
	case "parent", "nameless":
		cmd := exec.Command(os.Args[0])
		if cmd.Env = append(os.Environ(), "CHILD=stubborn"); os.Getenv("CHILD") == "nameless" {
			cmd.Env = []string{"CHILD=stubborn"} // its group is all that tells whose it is
		}
		cmd.Stdout = os.Stdout
		if cmd.Start() != nil {
			os.Exit(1)
		}
		if _, _ = io.Copy(io.Discard, os.Stdin); os.Getenv("STAY") != "" { // to its end: what it left would end with it
			select {}
		}
	}
}

func child(t *testing.T, s *Starter, mode string, detached bool) *Process {
	t.Helper()
	mark := "MARK=" + t.Name()
	env := []string{"CHILD=" + mode, mark}
	if detached {
		env = append(env, "STAY=1") // it has no input that could end
	}
	p, err := s.Start(Spec{Path: os.Args[0], Env: env, Mark: mark, Detached: detached})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExit(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	p := child(t, s, "echo", false)
	out, err := io.ReadAll(p.Stdout)
	if err != nil || string(out) != "out" {
		t.Errorf("%v: %q", err, out)
	}
	errs, err := io.ReadAll(p.Stderr)
	if err != nil || string(errs) != "err" {
		t.Errorf("%v: %q", err, errs)
	}
	<-p.Done()
	if x := p.Exit(); x.Code != 7 || x.Signal != "" || x.Peak == 0 || x.String() != "exit code 7" {
		t.Errorf("%+v", x)
	}
	if !p.Stop(time.Second) {
		t.Error("something is left")
	}
	if _, err := s.Start(Spec{Path: "/nowhere/program"}); err == nil {
		t.Error("a program that is not there was started")
	}
}

// A child that ignores SIGTERM, and one that a child left behind, are killed.
func TestStop(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	for _, mode := range []string{"stubborn", "parent"} {
		p := child(t, s, mode, false)
		if _, err := p.Stdout.Read(make([]byte, 1)); err != nil { // it ignores signals now
			t.Fatal(err)
		}
		if !p.Stop(20 * time.Millisecond) {
			t.Errorf("%s: something is left", mode)
		}
		if left := AllMarked("MARK=" + t.Name()); len(left) > 0 {
			t.Errorf("%s: %v are left", mode, left)
		}
		if mode == "stubborn" && p.Exit().Signal != "killed" {
			t.Errorf("%s: %s", mode, p.Exit())
		}
	}
}

// What a child that ends by itself leaves in its group ends with it, though
// nothing but the group tells whose it is; then the group is not signalled any
// more, since its number may be a stranger's.
func TestLeft(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	p := child(t, s, "nameless", false)
	if _, err := p.Stdout.Read(make([]byte, 1)); err != nil { // the grandchild ignores signals
		t.Fatal(err)
	}
	before, _ := Members(p.Identity.PID)
	if len(before) != 2 {
		t.Fatalf("%v are in the group", before)
	}
	if err := p.Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	for _, pid := range before {
		if i, err := Identify(pid); err == nil {
			t.Errorf("%+v is left", i)
		}
	}
	p.signal(func() { t.Error("a group is signalled whose number is free") })
	if !p.Stop(time.Second) {
		t.Error("something is left")
	}
}

// Of an earlier run's, the group and what has the mark are ended, by their
// handles; a group whose leader is gone is not touched.
func TestEndGroup(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	for _, leader := range []bool{true, false} {
		p := child(t, s, "nameless", true)
		defer p.Stop(0)
		if _, err := p.Stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		stranger := child(t, s, "stubborn", false) // marked by another
		who := p.Identity
		members, _ := Members(who.PID)
		if len(members) != 2 {
			t.Fatalf("%v are in the group", members)
		}
		if !leader {
			who.Start--
		}
		if !EndGroup(who, "MARK=none", 10*time.Millisecond) {
			t.Error("something is left")
		}
		if left, _ := Members(p.Identity.PID); leader == (len(left) > 0) {
			t.Errorf("with its leader %v: %v are left", leader, left)
		}
		if !stranger.Identity.Same() {
			t.Error("another's was ended")
		}
		stranger.Stop(0)
	}
}

// The end of the starter's thread ends its children, but not detached ones;
// the end of other threads does not.
func TestParentDeath(t *testing.T) {
	s := NewStarter()
	bound, free := child(t, s, "stubborn", false), child(t, s, "stubborn", true)
	for _, p := range []*Process{bound, free} {
		if _, err := p.Stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if !bound.Identity.Same() {
		t.Error("it ended with its starter alive")
	}
	s.Close()
	<-bound.Done()
	if bound.Exit().Signal != "killed" {
		t.Errorf("%s", bound.Exit())
	}
	if !free.Identity.Same() {
		t.Error("a detached one ended")
	}
	if !free.Stop(0) {
		t.Error("something is left")
	}
	bound.Stop(0)
}

// A starter that finds itself on the program's first thread takes another.
func TestFirstThread(t *testing.T) {
	for range 200 { // some of them begin there
		s := NewStarter()
		where := make(chan bool)
		s.jobs <- func() { where <- firstThread() }
		if <-where {
			t.Fatal("it works on the first thread")
		}
		s.Close()
	}
}

func TestStdin(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	p := child(t, s, "eof", false)
	if err := p.Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Exit().Code != 0 {
		t.Errorf("%s", p.Exit())
	}
	p.Stop(0)
}

func TestIdentity(t *testing.T) {
	me, err := Identify(os.Getpid())
	if err != nil || me.Start == 0 || me.Boot == "" || !strings.HasSuffix(me.Exe, ".test") || !me.Same() {
		t.Errorf("%v: %+v", err, me)
	}
	other := me
	other.Start++
	if other.Same() {
		t.Error("another start is the same process")
	}
	if _, err := Adopt(other, ""); err == nil {
		t.Error("another process was adopted")
	}
	if me.Exe = "/bin/other"; me.Same() {
		if _, err := Adopt(me, "NO=mark"); err == nil {
			t.Error("another program was adopted")
		}
	}
	if !EndGroup(other, "NO=mark", 0) {
		t.Error("nothing of it is there, and something is said to be left")
	}
}

// Lines of /proc/PID/stat; the name may hold anything.
func TestParseStat(t *testing.T) {
	rest := " S 1 42 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 20"
	for _, name := range []string{"(sh)", "(a b)", "() 1 Z (x)", "(\n)"} {
		if s, err := parseStat([]byte("9 " + name + rest)); err != nil || s.state != 'S' || s.group != 42 || s.start != 987654 {
			t.Errorf("%q: %v %+v", name, err, s)
		}
	}
	for _, bad := range []string{"", "1 (sh", "1 (sh) S", "1 (sh) S 1 x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("9 (sh) S 1 42 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 20"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseStat(b)              // it does not panic
		_, _ = listening(string(b), 100) // nor does this
	})
}

func TestPortOwner(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	group, err := syscall.Getpgid(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := PortOwner(port, group); got != Ours {
		t.Errorf("our own: %v", got)
	}
	if got := PortOwner(port, 1<<22); got != Stranger {
		t.Errorf("another group's: %v", got)
	}
	l.Close()
	if got := PortOwner(port, group); got != Nobody {
		t.Errorf("nobody's: %v", got)
	}
	if inode, ok := listening("  0: 0100007F:"+strings.ToUpper(strconv.FormatInt(int64(port), 16))+" 00000000:0000 01 0:0 0:0 0 0 0 777", port); ok {
		t.Errorf("a connection listens: %s", inode)
	}
}
