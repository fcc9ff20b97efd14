package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// MaxFile is how long the log file of a detached engine may grow before it is
// cut; what was in it is kept once, beside it.
const MaxFile = 8 << 20

// File is the log of an engine that writes it itself and may outlive this
// program: it is followed into a Ring, and cut when it is too long. The engine
// appends, so that it goes on at the start of a file that was cut.
type File struct {
	path string
	ring *Ring
	f    *os.File
	at   int64
	max  int64

	mu   sync.Mutex // one reader at a time
	quit chan struct{}
	done chan struct{}
}

// Create makes an empty log file and returns the file to give to the child,
// which the caller closes.
func Create(path string) (*os.File, error) {
	// Emptied before it is opened to append: on Windows, a handle that may cut
	// the file does not append, and the child would go on where it was.
	err := os.Truncate(path, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("emptying the log of a sidecar: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the log of a sidecar: %w", err)
	}
	return f, nil
}

// Follow reads what is in the file and what comes, every interval, until
// Close.
func Follow(path string, ring *Ring, interval time.Duration) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("following the log of a sidecar: %w", err)
	}
	l := &File{path: path, ring: ring, f: f, max: MaxFile, quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			l.Sync()
			select {
			case <-tick.C:
			case <-l.quit:
				return
			}
		}
	}()
	return l, nil
}

// Sync reads what came since.
func (l *File) Sync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if info, err := l.f.Stat(); err == nil && info.Size() < l.at {
		l.at = 0 // somebody cut it
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := l.f.ReadAt(buf, l.at)
		_, _ = l.ring.Write(buf[:n]) // never fails
		l.at += int64(n)
		if n == 0 || errors.Is(err, io.EOF) {
			break
		}
	}
	if l.at > l.max {
		l.rotate()
	}
}

// rotate keeps the file's content as path.1 and empties it.
func (l *File) rotate() {
	old, err := os.OpenFile(l.path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return // a log that grows is better than none
	}
	_, err = io.Copy(old, io.NewSectionReader(l.f, 0, l.at))
	if errors.Join(err, old.Close()) == nil && l.f.Truncate(0) == nil {
		l.at = 0
	}
}

// Close stops following, after a last look.
func (l *File) Close() {
	close(l.quit)
	<-l.done
	l.Sync()
	l.f.Close()
}
