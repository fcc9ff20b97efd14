package sidecar

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"hwledger/internal/rename"
	"hwledger/sidecar/proc"
)

// saved is what a sidecar's folder says of it, for the next run of this
// program. It is written before the process is started, and again when it is
// known who it is.
type saved struct {
	Version  int              `json:"version"`
	ID       string           `json:"id"`
	Name     string           `json:"name,omitempty"`
	Engine   string           `json:"engine"`
	Release  string           `json:"engine_version,omitempty"`
	Model    string           `json:"model"`
	Lifetime Lifetime         `json:"lifetime"`
	TTL      time.Duration    `json:"ttl_nanoseconds,omitempty"`
	Created  time.Time        `json:"created"`
	Process  proc.Identity    `json:"process"`
	Port     int              `json:"port,omitempty"`
	Key      bool             `json:"key,omitempty"`    // that it has one
	Loaded   bool             `json:"loaded,omitempty"` // that a daemon loaded it for this sidecar
	Reserve  map[string]int64 `json:"reserve_bytes,omitempty"`
	// Options are what a daemon was told with the model, which its calls say
	// again.
	Options *LoadOptions `json:"load_options,omitempty"`
	// Predicted is kept to stand beside what is measured.
	Predicted []Figure `json:"predicted,omitempty"`
}

const savedVersion = 1

// maxSaved bounds a record that is read, in bytes.
const maxSaved = 1 << 20

// saved is what there is to save of any sidecar.
func (s *sidecar) saved() saved {
	return saved{
		Version: savedVersion, ID: s.id, Name: s.spec.Name, Engine: s.engine.Name, Release: s.spec.Version, Model: s.spec.Model,
		Lifetime: s.spec.Lifetime, TTL: s.spec.TTL, Created: s.st.Created, Key: s.key != "", Reserve: s.spec.Reserve, Predicted: s.spec.Predicted,
	}
}

// save writes the record, whole or not at all.
func (s *sidecar) save(r saved) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	part := s.path(recordFile + ".part")
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return fmt.Errorf("keeping the record of a sidecar: %w", err)
	}
	if err := rename.Over(part, s.path(recordFile)); err != nil {
		return fmt.Errorf("keeping the record of a sidecar: %w", err)
	}
	return nil
}

// takeLock marks the folder as this program's, for as long as it lives.
func (s *sidecar) takeLock() error {
	s.lock = flock.New(s.path(lockFile))
	ok, err := s.lock.TryLock()
	if err != nil {
		return fmt.Errorf("locking the folder of a sidecar: %w", err)
	}
	if !ok {
		return errInUse
	}
	return nil
}

// errInUse is a folder of another running server.
var errInUse = fmt.Errorf("the folder of the sidecar belongs to another server")

// isID is what a sidecar's folder is called.
var isID = regexp.MustCompile(`^[0-9a-f]{10}$`)

// adoptAll looks once for what earlier runs left: detached sidecars that still
// run are adopted, what is left of others is ended. Only processes that are
// known to be ours are touched.
func (m *Manager) adoptAll() {
	m.recover.Do(func() {
		folders, err := os.ReadDir(m.opts.Dir)
		if err != nil {
			return // nothing was ever started
		}
		for _, f := range folders {
			if f.IsDir() && isID.MatchString(f.Name()) {
				m.adopt(f.Name())
			}
		}
		m.settleAdopted()
	})
}

// settleAdopted waits a little for those that were adopted: they are ready
// mostly, and only have to say so.
func (m *Manager) settleAdopted() {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.sidecars))
	m.mu.Unlock()
	enough := time.After(2 * time.Second)
	for _, s := range all {
		for changed, state := s.watch(); state == Starting; changed, state = s.watch() {
			select {
			case <-changed:
			case <-enough:
				return
			}
		}
	}
}

// adopt takes over one folder, unless another server has it.
func (m *Manager) adopt(id string) {
	s := newSidecar(m, &Engine{}, Spec{Lifetime: Session}, id)
	if err := s.takeLock(); err != nil {
		return
	}
	// Only now: who had the lock may have written until then.
	r, err := readSaved(filepath.Join(m.folder(id), recordFile))
	e, known := m.Engine(r.Engine)
	if r.Version > savedVersion { // a newer program's, which knows what to do with it
		_ = s.lock.Unlock() // it ends with this process
		return
	}
	if err != nil || known != nil || r.Version != savedVersion || r.ID != id {
		m.opts.Log.Warn("a sidecar's record cannot be read", "id", id, "error", err)
		s.endRest(proc.Identity{})
		return
	}
	s.engine, s.spec = e, Spec{
		Name: r.Name, Engine: r.Engine, Version: r.Release, Model: r.Model, Lifetime: r.Lifetime, TTL: r.TTL, Stall: stall,
		Predicted: r.Predicted, Reserve: r.Reserve,
	}
	s.st.Name, s.st.Engine, s.st.Version, s.st.Model, s.st.Lifetime = r.Name, e.Name, r.Release, r.Model, r.Lifetime
	s.st.Created, s.st.Predicted, s.st.Reserve = r.Created, r.Predicted, r.Reserve
	var u unit
	if e.Daemon != nil {
		u, err = s.readoptDaemon(r)
	} else {
		u, err = s.readopt(r)
	}
	if err != nil {
		m.opts.Log.Info("a sidecar of an earlier run is not adopted", "id", id, "reason", err)
		s.endRest(r.Process)
		return
	}
	m.mu.Lock()
	m.add(s)
	m.mu.Unlock()
	m.opts.Log.Info("adopted a sidecar of an earlier run", "id", id, "pid", r.Process.PID)
	go s.run(u)
}

// endRest ends what an earlier run left. What cannot be ended keeps its folder,
// for the next run.
func (s *sidecar) endRest(who proc.Identity) {
	if proc.EndGroup(who, mark(s.id), s.m.opts.Grace) {
		s.discard()
		return
	}
	s.m.opts.Log.Error("what is left of a sidecar cannot be ended", "id", s.id, "pid", who.PID)
	_ = s.lock.Unlock() // it ends with this process
}

// readSaved reads a record of at most maxSaved bytes.
func readSaved(path string) (r saved, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSaved))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// readopt makes a unit of a process that runs already.
func (s *sidecar) readopt(r saved) (*child, error) {
	if r.Lifetime != Detached {
		return nil, fmt.Errorf("it was of the session that ended")
	}
	p, err := proc.Adopt(r.Process, mark(s.id))
	if err != nil {
		return nil, err
	}
	if s.engine.KeyEnv != "" || r.Key {
		b, err := os.ReadFile(s.path(keyFile))
		if err != nil {
			p.Leave()
			return nil, fmt.Errorf("its key is lost: %w", err)
		}
		s.key, s.st.KeyFile = string(trimEnd(b)), s.path(keyFile)
		s.log.Secret = s.key
	}
	c := &child{s: s, p: p, ident: p.Identity, began: r.Created, port: r.Port}
	if err := c.connect(); err != nil {
		p.Leave()
		return nil, err
	}
	return c, nil
}

func trimEnd(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}
