package ledger_test

import (
	"bufio"
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"hwledger/ledger"
)

// childDir, in the environment, makes this test binary a process that appends
// to the ledger there until it is killed.
const childDir = "HWLEDGER_TEST_APPEND_TO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(appendForever(dir))
	}
	os.Exit(m.Run())
}

// appendForever appends from several goroutines, and writes each receipt to
// standard output once it has it.
func appendForever(dir string) int {
	l, err := ledger.Open(context.Background(), dir, ledger.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	failed := make(chan error)
	run := crand.Text() // Windows gives the number of a process that ended to the next
	for c := range 4 {
		go func() {
			for i := 0; ; i++ {
				e := note(fmt.Sprint("caller ", c), fmt.Sprint(i))
				e.Key = fmt.Sprintf("%s-%d-%d", run, c, i)
				r, err := l.Append(context.Background(), e)
				if err == nil {
					_, err = os.Stdout.WriteString(fmt.Sprintln(r.Seq, r.Leaf)) // one write, whole or not at all
				}
				if err == nil && i%4 == 3 {
					_, err = l.Checkpoint(context.Background())
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	fmt.Fprintln(os.Stderr, <-failed)
	return 1
}

// kills is how many processes are killed, at once by how many that append.
const (
	kills   = 200
	writers = 4
)

// A process that is killed at any moment loses nothing that it acknowledged,
// and leaves a ledger that the others go on with.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills 200 processes")
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(6, 962))
	after := make(chan int, kills)
	for range kills {
		after <- random.IntN(40)
	}
	close(after)
	acknowledged := map[int64]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := range after {
				receipts, err := killed(dir, n)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for seq, leaf := range receipts {
					if acknowledged[seq] != "" {
						t.Errorf("event %d was given out twice", seq)
					}
					acknowledged[seq] = leaf
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	l := open(t, dir, ledger.Options{})
	v := verified(t, l)
	for seq, leaf := range acknowledged {
		e, err := l.Event(t.Context(), seq)
		if err != nil || e.Leaf.String() != leaf {
			t.Errorf("event %d was acknowledged as %s: %v %v", seq, leaf, e.Leaf, err)
		}
	}
	if len(acknowledged) == 0 || int64(len(acknowledged)) > v.Size {
		t.Errorf("%d events were acknowledged, and %d are there", len(acknowledged), v.Size)
	}
	t.Logf("%d kills, %d events acknowledged, %d there, %d checkpoints compared", kills, len(acknowledged), v.Size, v.Checkpoints)
	if err := l.CheckProjections(t.Context()); err != nil {
		t.Error(err)
	}
}

// killed runs a process until it acknowledged n events, or came up when n is
// 0, kills it, and returns all that it acknowledged.
func killed(dir string, n int) (map[int64]string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	receipts := map[int64]string{}
	for {
		if len(receipts) == n {
			if err := cmd.Process.Kill(); err != nil {
				return nil, err
			}
		}
		line, err := lines.ReadString('\n')
		if err == io.EOF { // what is left in the pipe after the kill counts too
			break
		}
		if err != nil {
			return nil, err
		}
		var seq int64
		var leaf string
		if _, err := fmt.Sscan(line, &seq, &leaf); err != nil {
			return nil, fmt.Errorf("the receipt %q: %w", line, err)
		}
		if _, err := base64.StdEncoding.DecodeString(leaf); err != nil {
			return nil, fmt.Errorf("the receipt %q: %w", line, err)
		}
		receipts[seq] = leaf
	}
	if err := cmd.Wait(); err == nil || len(receipts) < n {
		return nil, fmt.Errorf("the process ended on its own after %d events: %v", len(receipts), err)
	}
	return receipts, nil
}
