package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"hwledger/calc/lookup/fetch"
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
}

// Bounds of what the Hub's answers and headers may take.
const (
	maxInfo         = 32 << 20
	maxRemoteHeader = 256 << 20
	firstWindow     = 256 << 10 // most safetensors headers, and then some
)

// openRepo asks the Hub what the repository holds at the revision.
func openRepo(ctx context.Context, h hubRef) (*remoteTree, error) {
	if h.whole {
		ctx = fetch.Quick(ctx)
	}
	c := client()
	address := endpoint() + "/api/models/" + h.id + "/revision/" + url.PathEscape(h.revision)
	reply, err := c.Get(ctx, address, maxInfo, "")
	if err != nil {
		return nil, err
	}
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
		Card struct {
			License any `json:"license"`
		} `json:"cardData"`
	}
	if err := json.Unmarshal(reply.Body, &info); err != nil || !hubWord(info.SHA) {
		return nil, model.Errorf(model.MalformedFile, "model", "the Hub's description of %s is not what its API documents", h.id)
	}
	base, err := url.Parse(endpoint() + "/" + h.id + "/resolve/" + info.SHA + "/")
	if err != nil {
		return nil, model.Errorf(model.InvalidArgument, "HF_ENDPOINT", "is not an address")
	}
	t := &remoteTree{client: c, base: base, commit: info.SHA}
	t.license, _ = info.Card.License.(string)
	for _, s := range info.Siblings {
		if fs.ValidPath(s.Name) {
			t.names = append(t.names, s.Name)
		}
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

func (t *remoteTree) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !t.has(ctx, name) {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	reply, err := t.client.Get(ctx, t.address(name), limit, "")
	if err != nil {
		return nil, err
	}
	return reply.Body, nil
}

// open fetches the beginning of the file, which tells its size.
func (t *remoteTree) open(ctx context.Context, name string) (blob, error) {
	p := t.client.Prefix(t.address(name), maxRemoteHeader)
	if err := p.Grow(ctx, firstWindow); err != nil && err != io.EOF {
		return nil, err
	}
	// A header of more than a window is fetched in steps that grow, so that
	// a vocabulary of many megabytes takes few requests.
	step := int64(firstWindow)
	if strings.HasSuffix(strings.ToLower(name), ".gguf") {
		step = 4 << 20
	}
	return &remoteFile{ctx: ctx, p: p, step: step}, nil
}

// remoteFile reads a remote file from its beginning, no byte twice.
type remoteFile struct {
	ctx  context.Context
	p    *fetch.Prefix
	step int64
}

func (f *remoteFile) Size() int64 { return f.p.Size() }

func (f *remoteFile) Close() error { return nil }

// ReadAt fetches up to the end of b, or a step more when it must fetch at all.
func (f *remoteFile) ReadAt(b []byte, off int64) (int, error) {
	end := off + int64(len(b))
	if have := int64(len(f.p.Bytes())); end > have {
		if err := f.p.Grow(f.ctx, min(max(end, have+f.step), maxRemoteHeader)); err != nil && err != io.EOF {
			return 0, err
		}
		f.step *= 2
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
