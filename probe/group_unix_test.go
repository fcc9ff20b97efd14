//go:build unix

package probe

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What a tool's script started ends with it: a pipe that its child holds open
// is closed.
func TestCommandEndsWithItsChildren(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	script(t, "parent", `exec 3>`+fifo+`; sleep 60 & echo started; wait`)
	if out, err := runCommand(context.Background(), Command{Name: "parent", Line: true}); err != nil || string(out) != "started" {
		t.Fatalf("%q, %v", out, err)
	}
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the child lives: %v", err)
	}
}
