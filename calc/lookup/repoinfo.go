package lookup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/go-huggingface/hub"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/lookup/metacache"
	"hwledger/calc/model"
)

// fresh is how long the Hub's word on what a branch holds is taken without
// asking again: the calls of one session are about the same few models.
const fresh = 5 * time.Minute

// maxInfo bounds the Hub's description of a repository.
const maxInfo = 32 << 20

// repoInfo is the Hub's description of a repository at a revision.
type repoInfo struct {
	*hub.RepoInfo
	// asked is when the Hub said so; stale, that it could not be asked now.
	asked time.Time
	stale bool
}

// askRepo returns the description of a repository: from the cache while it is
// fresh, else from the Hub, which says when nothing changed. When the Hub
// cannot be reached, or must not be, what it said last is used.
func askRepo(ctx context.Context, c *fetch.Client, cache *metacache.Cache, h hubRef, offline bool) (*repoInfo, error) {
	dir, done, err := infoDir(cache)
	if err != nil {
		return nil, err
	}
	defer done()
	file := infoFile(dir, h)
	address := endpoint() + "/api/models/" + h.id + "/revision/" + url.PathEscape(h.revision)
	kept, known := cache.Get(address)
	body, err := readFile(file, maxInfo)
	known = known && err == nil && string(kept.Body) == digest(body)
	switch {
	case known && (offline || time.Since(kept.Checked) < fresh):
		return parseInfo(dir, h, kept.Checked, offline)
	case offline:
		return nil, model.Errorf(model.Offline, "model", "%s is on the Hub, which is not to be asked", h.id).
			WithHint("leave out offline and HF_HUB_OFFLINE, or give the path of the downloaded files")
	}
	etag := ""
	if known {
		etag = kept.ETag
	}
	reply, err := c.Get(ctx, address, maxInfo, etag)
	switch {
	case err != nil && known && fetch.Unreached(err):
		return parseInfo(dir, h, kept.Checked, true)
	case err != nil:
		return nil, err
	case reply.NotModified:
		cache.Touch(address)
		return parseInfo(dir, h, time.Now(), false)
	}
	if err := metacache.WriteFile(file, reply.Body); err != nil {
		return nil, &model.Error{Code: model.Internal, Message: "keeping the Hub's description of a repository", Err: err}
	}
	info, err := parseInfo(dir, h, time.Now(), false)
	if err == nil {
		_ = cache.Put(address, metacache.Entry{Body: []byte(digest(reply.Body)), Size: -1, ETag: reply.ETag}) // else it is asked for again
	}
	return info, err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// infoDir is where go-huggingface finds descriptions of repositories: within
// the cache of metadata, or in a directory for the while when that cannot be
// written.
func infoDir(cache *metacache.Cache) (dir string, done func(), err error) {
	if cache.Root() != "" {
		dir = filepath.Join(cache.Root(), "repositories")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir, func() {}, nil
		}
	}
	if dir, err = os.MkdirTemp("", "hwledger-"); err != nil {
		return "", nil, &model.Error{Code: model.Internal, Message: "making a directory for the Hub's answers", Err: err}
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// infoFile is the place of a description in go-huggingface's layout.
func infoFile(dir string, h hubRef) string {
	return filepath.Join(dir, "models--"+strings.ReplaceAll(h.id, "/", hub.RepoIdSeparator), "info", filepath.FromSlash(h.revision))
}

// parseInfo lets go-huggingface read a description that is in its place. The
// library fetches without a context and keeps what broke off, so fetching is
// done here and it is given an endpoint that it cannot reach.
func parseInfo(dir string, h hubRef, asked time.Time, stale bool) (*repoInfo, error) {
	repo := hub.New(h.id).WithCacheDir(dir).WithRevision(h.revision).WithEndpoint("none:").WithProgressBar(false)
	repo.Verbosity = 0
	err := repo.DownloadInfo(false)
	if err == nil && (repo.Info() == nil || !hubWord(repo.Info().CommitHash)) {
		err = errors.New("it names no commit")
	}
	if err != nil {
		_ = os.Remove(infoFile(dir, h))
		return nil, &model.Error{Code: model.MalformedFile, Field: "model", Message: "the Hub's description of " + h.id + " is not what its API documents", Err: err}
	}
	return &repoInfo{RepoInfo: repo.Info(), asked: asked, stale: stale}, nil
}
