package proc

import (
	"testing"
)

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

func TestListening(t *testing.T) {
	if inode, ok := listening("  0: 0100007F:0050 00000000:0000 0A 0:0 0:0 0 0 0 777", 80); !ok || inode != "777" {
		t.Errorf("a listener: %v %s", ok, inode)
	}
	if inode, ok := listening("  0: 0100007F:0050 00000000:0000 01 0:0 0:0 0 0 0 777", 80); ok {
		t.Errorf("a connection listens: %s", inode)
	}
}

// forgets reports whether this system knows nothing of a process's memory when
// it has ended.
func forgets() bool { return false }
