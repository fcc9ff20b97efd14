package proc

import (
	"errors"
	"time"
)

// Identity is a process as nobody else can be: the number alone is given to
// others in time.
type Identity struct {
	PID int `json:"pid"`
	// Start is when it was started, in the system's own unit.
	Start uint64 `json:"start,omitempty"`
	// Boot is the run of the system in which Start counts.
	Boot string `json:"boot,omitempty"`
	// Exe is the program that it runs, which may change: scripts execute
	// others.
	Exe string `json:"exe,omitempty"`
}

// Same reports whether the process that has the number is this one and has
// not ended. Unknown is no.
func (i Identity) Same() bool {
	now, err := Identify(i.PID)
	return err == nil && now.is(i)
}

// is reports whether both are one process.
func (i Identity) is(other Identity) bool {
	return i.Start != 0 && i.PID == other.PID && i.Start == other.Start && i.Boot == other.Boot
}

// ours returns the process as it is now. It fails unless it is the one that has
// the identity, and runs its program or has the mark in its environment.
func (i Identity) ours(mark string) (Identity, error) {
	now, err := Identify(i.PID)
	switch {
	case err != nil:
		return now, err
	case !now.is(i):
		return now, errors.New("the number is another process's now")
	case (i.Exe == "" || now.Exe != i.Exe) && !Marked(i.PID, mark):
		return now, errors.New("the process runs another program")
	}
	return now, nil
}

// Adopted is a process that an earlier run of this program started.
type Adopted struct {
	Identity Identity
	mark     string
	done     chan struct{}
	quit     chan struct{}
}

// Adopt watches a process that this one did not start. It fails unless the
// process is still the one that has the identity and runs its program, or has
// the mark (NAME=value) in its environment.
func Adopt(i Identity, mark string) (*Adopted, error) {
	now, err := i.ours(mark)
	if err != nil {
		return nil, err
	}
	a := &Adopted{Identity: now, mark: mark, done: make(chan struct{}), quit: make(chan struct{})}
	go a.watch()
	return a, nil
}

// watchEvery is how often it is looked whether an adopted process is there.
const watchEvery = 200 * time.Millisecond

// watch closes done when the process is gone. Only a parent is told of an end.
func (a *Adopted) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for a.Identity.Same() {
		select {
		case <-tick.C:
		case <-a.quit:
			return
		}
	}
	close(a.done)
}

// Done is closed when the process has ended.
func (a *Adopted) Done() <-chan struct{} { return a.done }

// Leave stops watching and lets the process run.
func (a *Adopted) Leave() { close(a.quit) }

// Stop ends the process and its group: asked first, killed after grace. It
// reports whether nothing is left.
func (a *Adopted) Stop(grace time.Duration) bool {
	if !EndGroup(a.Identity, a.mark, grace) {
		return false
	}
	select { // so that whoever asks next is told of the end
	case <-a.done:
	case <-time.After(5 * watchEvery): // it has become another program, which is left alone
	}
	return true
}
