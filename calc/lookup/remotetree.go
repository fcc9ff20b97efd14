package lookup

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/lookup/metacache"
	"hwledger/calc/model"
)

// remoteTree is the files below an address: a commit of a Hub repository, or
// the folder of one file.
type remoteTree struct {
	client  *fetch.Client
	base    *url.URL // ends in a slash
	names   []string // of all files, when they are known
	only    string   // the one file that is asked for, when names are not
	commit  string
	license string
	facts   []model.Fact
	// cache keeps what was read, when there is a commit by which to know it.
	cache   *metacache.Cache
	offline bool
	// headers are the expected sizes of safetensors headers by file, from an
	// index.
	headers map[string]int64
}

// Bounds of what headers may take, and what is fetched of a weight file before
// it says how long its header is.
const (
	maxRemoteHeader  = 256 << 20
	firstGGUF        = 256 << 10
	firstSafetensors = 64 << 10 // most headers of unsharded checkpoints
	headerBlock      = 4 << 10  // what an expected header is rounded up to
)

// openRepo asks the Hub what the repository holds at the revision.
func openRepo(ctx context.Context, h hubRef, offline bool) (*remoteTree, error) {
	t := &remoteTree{client: client(), cache: metadata(), offline: offline}
	info, err := askRepo(ctx, t.client, t.cache, h, offline)
	if err != nil {
		return nil, err
	}
	if t.base, err = url.Parse(endpoint() + "/" + h.id + "/resolve/" + info.CommitHash + "/"); err != nil {
		return nil, model.Errorf(model.InvalidArgument, "HF_ENDPOINT", "is not an address")
	}
	t.commit = info.CommitHash
	for _, s := range info.Siblings {
		if fs.ValidPath(s.Name) {
			t.names = append(t.names, s.Name)
		}
	}
	for _, tag := range info.Tags {
		if license, ok := strings.CutPrefix(tag, "license:"); ok {
			t.license = license
		}
	}
	if info.stale {
		t.facts = append(t.facts, fact("repository", t.commit, "what the Hub said at "+info.asked.UTC().Format(time.RFC3339)+"; it was not asked now"))
	}
	return t, nil
}

func (t *remoteTree) address(name string) string { return t.base.JoinPath(name).String() }

func (t *remoteTree) path(name string) string {
	u := *t.base
	u.RawQuery = ""
	return u.JoinPath(name).Redacted()
}

func (t *remoteTree) origin() string {
	if t.commit != "" {
		return "the Hub, commit " + t.commit
	}
	return "network"
}

func (t *remoteTree) files(context.Context) ([]entry, error) {
	out := make([]entry, len(t.names))
	for i, n := range t.names {
		out[i] = entry{name: n, size: -1}
	}
	return out, nil
}

// has asks for nothing: the repository listed its files. A split set beside a
// single address is found out when it is opened.
func (t *remoteTree) has(_ context.Context, name string) bool {
	return t.only != "" || slices.Contains(t.names, name)
}

// kept is the key in the cache of what was read of a file, "" when nothing is
// kept.
func (t *remoteTree) kept(name string) string {
	if t.cache == nil || t.commit == "" {
		return ""
	}
	return t.address(name)
}

// recall returns what the cache has of a file.
func (t *remoteTree) recall(name string) (metacache.Entry, bool) {
	key := t.kept(name)
	if key == "" {
		return metacache.Entry{}, false
	}
	e, ok := t.cache.Get(key)
	if ok && time.Since(e.Checked) > time.Hour {
		t.cache.Touch(key) // a commit does not change: it is still of use
	}
	return e, ok
}

// missed is the error for a file that would have to be fetched offline.
func (t *remoteTree) missed(name string) error {
	return model.Errorf(model.Offline, "model", "%s is on the network, which is not to be used", Clean(t.path(name), MaxText)).
		WithHint("leave out offline and HF_HUB_OFFLINE, or give the path of the downloaded files")
}

func (t *remoteTree) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !t.has(ctx, name) {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if e, ok := t.recall(name); ok && e.Size == int64(len(e.Body)) && e.Size <= limit {
		return e.Body, nil
	}
	if t.offline {
		return nil, t.missed(name)
	}
	reply, err := t.client.Get(ctx, t.address(name), limit, "")
	if err != nil {
		return nil, err
	}
	if key := t.kept(name); key != "" {
		_ = t.cache.Put(key, metacache.Entry{Body: reply.Body, Size: int64(len(reply.Body)), ETag: reply.ETag}) // else it is fetched again
	}
	return reply.Body, nil
}

// expect is told how long the headers of safetensors files probably are.
func (t *remoteTree) expect(headers map[string]int64) { t.headers = headers }

// open fetches the beginning of the file, which tells its size.
func (t *remoteTree) open(ctx context.Context, name string) (blob, error) {
	f := &remoteFile{ctx: ctx, t: t, name: name, p: t.client.Prefix(t.address(name), maxRemoteHeader)}
	if e, ok := t.recall(name); ok && e.Size >= int64(len(e.Body)) {
		f.p.Resume(e.Body, e.Size)
		f.known = int64(len(e.Body))
		return f, nil
	}
	first := int64(firstSafetensors)
	if n := t.headers[name]; n > 0 {
		first = (n + headerBlock - 1) / headerBlock * headerBlock
	} else if strings.HasSuffix(strings.ToLower(name), ".gguf") {
		first = firstGGUF
	}
	if err := f.grow(first); err != nil {
		return nil, err
	}
	return f, nil
}

// remoteFile reads a remote file from its beginning, no byte twice.
type remoteFile struct {
	ctx    context.Context
	t      *remoteTree
	name   string
	p      *fetch.Prefix
	known  int64 // bytes that the cache has
	ahead  int64 // how far the reader expects to read
	failed bool
}

func (f *remoteFile) Size() int64 { return f.p.Size() }

// Expect sets how far the next fetch reaches (gguf.Foresight).
func (f *remoteFile) Expect(end int64) { f.ahead = min(end, maxRemoteHeader) }

func (f *remoteFile) grow(end int64) error {
	if f.t.offline {
		return f.t.missed(f.name)
	}
	err := f.p.Grow(f.ctx, end)
	if err == io.EOF {
		return nil
	}
	f.failed = f.failed || err != nil
	return err
}

// Close keeps what was fetched, unless fetching failed.
func (f *remoteFile) Close() error {
	b := f.p.Bytes()
	if key := f.t.kept(f.name); key != "" && !f.failed && int64(len(b)) > f.known && f.p.Size() >= 0 {
		_ = f.t.cache.Put(key, metacache.Entry{Body: b, Size: f.p.Size()}) // else it is fetched again
	}
	return nil
}

// ReadAt fetches up to the end of b, and on to what is expected when it must
// fetch at all. A reader that says what it expects gets what is there first: it
// may need no more.
func (f *remoteFile) ReadAt(b []byte, off int64) (int, error) {
	end := off + int64(len(b))
	have := int64(len(f.p.Bytes()))
	if enough := f.ahead > 0 && f.p.Size() >= 0 && off < have; end > have && !enough {
		if err := f.grow(max(end, f.ahead)); err != nil {
			return 0, err
		}
	}
	all := f.p.Bytes()
	if off >= int64(len(all)) {
		return 0, io.EOF
	}
	n := copy(b, all[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
