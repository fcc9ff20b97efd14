package sidecar

import (
	"fmt"
	"net"
	"sync"
)

// ports hands out TCP ports of the loopback address. The system gives a free
// port again at once, so that those in use by children that have not bound
// theirs yet are remembered here.
type ports struct {
	mu    sync.Mutex
	taken map[int]bool
}

// take reserves a free port. Its listener is held while others are looked at,
// and closed for the child to bind it: who takes it in between makes the child
// fail with the port in use, and it is tried again with another.
func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	const tries = 100
	for range tries {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("finding a free port: %w", err)
		}
		held = append(held, l)
		if n := l.Addr().(*net.TCPAddr).Port; !p.taken[n] {
			if p.taken == nil {
				p.taken = map[int]bool{}
			}
			p.taken[n] = true
			return n, nil
		}
	}
	return 0, fmt.Errorf("finding a free port: %d in a row were taken", tries)
}

func (p *ports) release(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, n)
}
