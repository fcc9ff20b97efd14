//go:build linux || windows

package proc

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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
		signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
		_, _ = os.Stdout.WriteString("x") // as above
		stay()
	case "polite":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
		_, _ = os.Stdout.WriteString("x") // as above
		<-asked
		os.Exit(5)
	case "listen":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
		_, _ = io.Copy(io.Discard, os.Stdin) // to its end
	case "owner":
		own()
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
			stay()
		}
	}
}

// stay waits to be killed.
func stay() {
	for {
		time.Sleep(time.Hour)
	}
}

// these are the processes that run this program: those of Windows have a
// console beside them in their group.
func these(pids []int, known bool) (out []int) {
	self, err := Identify(os.Getpid())
	for _, pid := range pids {
		if i, e := Identify(pid); known && err == nil && e == nil && i.Exe == self.Exe {
			out = append(out, pid)
		}
	}
	return out
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
	if x := p.Exit(); x.Code != 7 || x.Signal != "" || x.Peak == 0 && !forgets() || x.String() != "exit code 7" {
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
	before := these(Members(p.Identity.PID))
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
		members := these(Members(who.PID))
		if len(members) != 2 {
			t.Fatalf("%v are in the group", members)
		}
		if !leader {
			who.Start--
		}
		if !EndGroup(who, "MARK=none", 10*time.Millisecond) {
			t.Error("something is left")
		}
		if left := these(Members(p.Identity.PID)); leader == (len(left) > 0) {
			t.Errorf("with its leader %v: %v are left", leader, left)
		}
		if !stranger.Identity.Same() {
			t.Error("another's was ended")
		}
		stranger.Stop(0)
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
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	me, err := Identify(os.Getpid())
	if err != nil || me.Start == 0 || me.Boot == "" || filepath.Base(me.Exe) != filepath.Base(program) || !me.Same() {
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
	me.Exe = "/bin/other"
	if _, err := Adopt(me, "NO=mark"); !me.Same() || err == nil {
		t.Error("another program was adopted")
	}
	before := me
	if before.Boot = "another"; before.Same() {
		t.Error("a process of another run of the system is the same")
	}
	if !EndGroup(other, "NO=mark", 0) {
		t.Error("nothing of it is there, and something is said to be left")
	}
}

// own starts a child that is bound to it and one that is not, says who they are
// and waits to be killed.
func own() {
	s := NewStarter()
	for _, detached := range []bool{false, true} {
		p, err := s.Start(Spec{Path: os.Args[0], Env: []string{"CHILD=stubborn"}, Detached: detached})
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		if _, err := p.Stdout.Read(make([]byte, 1)); err != nil {
			os.Exit(1)
		}
		fmt.Println(p.Identity.PID)
	}
	stay()
}

// The end of a program ends its children, but not detached ones: those are
// known again, with their group, and ended by whoever adopts them.
func TestOwnerDeath(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CHILD=owner")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var bound, free int
	n, scanned := fmt.Fscan(out, &bound, &free)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if n != 2 {
		t.Fatalf("%v after %d", scanned, n)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // nobody is told of the end
		if _, err := Identify(bound); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the child that is bound is still there")
		}
	}
	who, err := Identify(free)
	if err != nil {
		t.Fatalf("the detached one ended: %v", err)
	}
	a, err := Adopt(who, "")
	if err != nil {
		t.Fatal(err)
	}
	if members := these(Members(free)); len(members) != 1 || members[0] != free {
		t.Errorf("its group is %v", members)
	}
	if !a.Stop(0) {
		t.Error("something is left")
	}
	<-a.Done()
	if who.Same() {
		t.Error("it is still there")
	}
}

func TestPortOwner(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	p := child(t, s, "listen", false)
	line, err := bufio.NewReader(p.Stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscan(strings.TrimSpace(line), &port); err != nil {
		t.Fatal(err)
	}
	if got := PortOwner(port, p.Identity.PID); got != Ours {
		t.Errorf("the child's own: %v", got)
	}
	if got := PortOwner(port, 1<<22); got != Stranger {
		t.Errorf("another group's: %v", got)
	}
	p.Stop(0)
	if got := PortOwner(port, p.Identity.PID); got != Nobody {
		t.Errorf("nobody's: %v", got)
	}
}
