package protocol

import (
	"maps"
	"slices"
	"sync"
)

// Changes tell those who watch a resource of its changes, whoever makes them.
type Changes struct {
	mu   sync.Mutex
	next int
	all  map[int]func()
}

// Watch is a Watcher.
func (c *Changes) Watch(changed func()) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[int]func(){}
	}
	id := c.next
	c.next++
	c.all[id] = changed
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.all, id)
	}
}

// Tell says that the resource changed.
func (c *Changes) Tell() {
	c.mu.Lock()
	all := slices.Collect(maps.Values(c.all))
	c.mu.Unlock()
	for _, changed := range all {
		changed()
	}
}
