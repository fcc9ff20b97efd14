package rename

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A file is replaced again and again while others read it.
func TestOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-quit:
					return
				case <-tick.C:
					_, _ = os.ReadFile(path) // that there is one to read is the system's to say
				}
			}
		})
	}
	for i := range 200 {
		part := filepath.Join(dir, "part")
		if err := os.WriteFile(part, []byte(fmt.Sprint(i)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Over(part, path); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	close(quit)
	wg.Wait()
	if b, err := os.ReadFile(path); err != nil || string(b) != "199" {
		t.Errorf("%v: %s", err, b)
	}
	if err := Over(filepath.Join(dir, "none"), path); !os.IsNotExist(err) {
		t.Errorf("one that is not there: %v", err)
	}
}
