package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// loaded is a unit that is a model in a daemon.
type loaded struct {
	s      *sidecar
	d      Daemon
	ctx    context.Context
	cancel context.CancelFunc
	// theirs says that the daemon held the model before it was asked.
	theirs bool
	// opts are what it was loaded with.
	opts LoadOptions
	// loading ends when the daemon has answered; then err is what it said.
	loading chan struct{}
	err     error
	gone    chan struct{}
	isGone  atomic.Bool
	talk    *webTalk
}

// watchEvery is how often a daemon is asked whether it still holds a model.
const watchEvery = 5 * time.Second

// startDaemon asks the daemon for the model. One that it holds already is
// somebody else's: it is used, and left loaded in the end. It is loaded again
// only when its context is less than what is asked for.
func startDaemon(s *sidecar) (*loaded, error) {
	u := newLoaded(s)
	m, err := u.entry(s.ctx)
	if err != nil {
		u.leave()
		return nil, err
	}
	u.theirs = m != nil
	asIs := u.theirs && m.ContextTokens > 0 && m.ContextTokens >= s.spec.ContextTokens
	if asIs {
		u.opts = LoadOptions{ContextTokens: m.ContextTokens}
	} else {
		u.opts = LoadOptions{
			ContextTokens: s.spec.ContextTokens, Sequences: s.spec.Sequences, BatchTokens: s.spec.BatchTokens, GPULayers: s.spec.GPULayers, Keep: !u.theirs,
		}
	}
	r := s.saved()
	r.Loaded, r.Options = !u.theirs, &u.opts
	if err := s.save(r); err != nil {
		u.leave()
		return nil, err
	}
	go func() {
		defer close(u.loading)
		if !asIs {
			u.err = u.d.Load(u.ctx, s.spec.Model, u.opts)
		}
	}()
	go u.watch(u.ctx)
	s.record("launch", map[string]any{"daemon": u.d.URL(), "lifetime": string(s.spec.Lifetime)})
	return u, nil
}

// askDaemonWithin bounds a question to a daemon.
const askDaemonWithin = 5 * time.Second

func newLoaded(s *sidecar) *loaded {
	d := s.engine.Daemon
	u := &loaded{s: s, d: d, loading: make(chan struct{}), gone: make(chan struct{})}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	u.talk = &webTalk{e: s.engine, transport: transport, client: &http.Client{Transport: transport, CheckRedirect: stay}, base: strings.TrimSuffix(d.URL(), "/v1"), model: s.spec.Model}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

// readoptDaemon makes a unit of a model that an earlier run had loaded. It is an
// error when it was of that run's session, which ended, or is not held any more.
func (s *sidecar) readoptDaemon(r saved) (*loaded, error) {
	u := newLoaded(s)
	ctx, cancel := context.WithTimeout(context.Background(), askDaemonWithin)
	defer cancel()
	m, err := u.entry(ctx)
	switch {
	case err != nil || m == nil:
		u.leave()
		return nil, errors.New("the daemon does not hold its model")
	case r.Lifetime != Detached:
		err := errors.New("it was of the session that ended")
		if r.Loaded {
			err = errors.Join(err, u.d.Unload(ctx, s.spec.Model))
		}
		u.leave()
		return nil, err
	}
	u.theirs = !r.Loaded
	if u.opts = (LoadOptions{ContextTokens: m.ContextTokens, Keep: r.Loaded}); r.Options != nil {
		u.opts = *r.Options
	}
	close(u.loading)
	go u.watch(u.ctx)
	return u, nil
}

// watch notices when the daemon drops the model by itself.
func (u *loaded) watch(ctx context.Context) {
	select {
	case <-u.loading:
	case <-ctx.Done():
		return
	}
	for u.err == nil && sleep(ctx, watchEvery) {
		if m, err := u.entry(ctx); ctx.Err() == nil && (err != nil || m == nil) {
			u.isGone.Store(true)
			close(u.gone)
			return
		}
	}
}

// entry is what the daemon says of the model, nil when it does not hold it.
func (u *loaded) entry(ctx context.Context) (*Loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, askDaemonWithin)
	defer cancel()
	all, err := u.d.Loaded(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Model == u.s.spec.Model {
			return &all[i], nil
		}
	}
	return nil, nil
}

func (u *loaded) ready(ctx context.Context) (bool, *Failure) {
	select {
	case <-u.loading:
	default:
		return false, nil
	}
	if u.err != nil {
		f := diagnose(u.s.engine, u.err.Error(), clip(u.err.Error()))
		f.Permanent = true
		return false, f
	}
	m, err := u.entry(ctx)
	return err == nil && m != nil, nil
}

func (u *loaded) done() <-chan struct{} { return u.gone }

func (u *loaded) how() string {
	if u.isGone.Load() {
		return "the daemon no longer holds the model"
	}
	return "unloaded"
}

func (u *loaded) usage() map[string]any {
	return map[string]any{}
}

func (u *loaded) call(ctx context.Context, q Call, onText func(string)) (*Reply, error) {
	if d, ok := u.d.(Caller); ok {
		return d.Call(ctx, u.s.spec.Model, u.opts, q, onText)
	}
	return u.talk.call(ctx, q, onText)
}

// alive: watch looks after it.
func (u *loaded) alive(context.Context) bool { return true }

func (u *loaded) measure(ctx context.Context) []Figure {
	m, err := u.entry(ctx)
	if err != nil || m == nil || m.Bytes == 0 {
		return nil
	}
	name := "required"
	if c, ok := u.d.(Counter); ok && c.Counts(u.s.spec.Version) {
		name = "required by the daemon's own count" // no measurement
	}
	return []Figure{{Name: name, Bytes: m.Bytes}, {Name: name + " on devices", Bytes: m.OnDevice}}
}

// progress: a daemon does not tell how far it is. While it does not answer
// there is none, and the time for that is the sidecar's.
func (u *loaded) progress() int64 { return 0 }

func (u *loaded) stop(grace time.Duration) bool {
	u.cancel()
	<-u.loading
	ctx, cancel := context.WithTimeout(context.Background(), max(grace, time.Second))
	defer cancel()
	if u.theirs {
		u.talk.close()
		return true
	}
	err := u.d.Unload(ctx, u.s.spec.Model)
	if err != nil {
		_, _ = fmt.Fprintf(u.s.log, "unloading: %v\n", err) // never fails
	}
	u.talk.close()
	return err == nil || u.isGone.Load()
}

func (u *loaded) leave() {
	u.cancel()
	u.talk.close()
}

func (u *loaded) describe(st *Status) { st.Endpoint, st.BaseURL = u.talk.base, u.d.URL() }
