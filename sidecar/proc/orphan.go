//go:build unix || windows

package proc

import (
	"maps"
	"os"
	"slices"
	"time"
)

// EndGroup ends what is left of a sidecar of an earlier run: the process of
// the identity with its group, and every process that has the mark in its
// environment. Nothing else is signalled: when the process has ended, its
// number may be a stranger's. It reports whether nothing is left.
func EndGroup(i Identity, mark string, grace time.Duration) bool {
	k := kindred{leader: i, mark: mark, known: map[int]Identity{}}
	left := k.look()
	for _, step := range endings(grace) {
		for _, p := range left {
			step.do(p)
		}
		end := time.Now().Add(step.wait)
		for pause := time.Millisecond; len(left) > 0 && time.Now().Before(end); pause = min(2*pause, 50*time.Millisecond) {
			time.Sleep(pause) // they are nobody's children here: nothing tells of their end
			if left = k.look(); step.again {
				for _, p := range left {
					step.do(p)
				}
			}
		}
	}
	return len(left) == 0
}

// ending is a way to end a process, and how long that may take. again says that
// it is done to those that were found meanwhile as well.
type ending struct {
	do    func(Identity)
	wait  time.Duration
	again bool
}

// endMarked ends the processes that have the mark: those that left their
// group, and those whose leader has ended.
func endMarked(mark string, grace time.Duration) bool { return EndGroup(Identity{}, mark, grace) }

// kindred are the processes of a sidecar that nobody here is the parent of.
// Each is known by its identity, so that one that was seen while its leader
// lived is still known when the leader, and with it the group's number, is
// gone.
type kindred struct {
	leader Identity
	mark   string
	known  map[int]Identity
}

// look finds new ones and returns all that have not ended.
func (k *kindred) look() []Identity {
	if k.leader.PID > 1 {
		k.add(k.group(), func(Identity) bool {
			_, err := k.leader.ours(k.mark) // as long as it lives, its group is its own
			return err == nil
		})
	}
	k.add(AllMarked(k.mark), func(i Identity) bool { return Marked(i.PID, k.mark) })
	maps.DeleteFunc(k.known, func(_ int, i Identity) bool { return !i.Same() })
	return slices.Collect(maps.Values(k.known))
}

// group returns the leader and the members of its group.
func (k *kindred) group() []int {
	pids, _ := Members(k.leader.PID) // those that can be seen
	return append(pids, k.leader.PID)
}

// add takes the processes for which the proof holds after they were
// identified: a number that was given to another in between does not pass.
func (k *kindred) add(pids []int, proof func(Identity) bool) {
	for _, pid := range pids {
		if i, err := Identify(pid); err == nil && pid > 1 && pid != os.Getpid() && proof(i) && i.Same() {
			k.known[pid] = i
		}
	}
}
