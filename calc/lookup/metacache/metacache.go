// Package metacache keeps small descriptions of models on disk: files of a
// repository's commit, and the beginnings of its weight files. Several
// processes may share one directory: an entry appears whole or not at all, and
// one that does not match its checksum is not there.
package metacache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"hwledger/internal/rename"
)

// Entry is what is kept under a key.
type Entry struct {
	Body []byte
	// Size is that of the file which Body is the beginning of; -1 when
	// unknown.
	Size int64
	// ETag identifies the content to the server it came from.
	ETag string
	// Checked is when the entry was stored, or last found to be current.
	Checked time.Time
}

// Cache is a directory of entries. The zero value keeps nothing.
type Cache struct {
	root  string
	limit int64
	puts  atomic.Int64
}

// Open returns the cache in the directory root, which is made on first use and
// kept below limit bytes, other files in it included.
func Open(root string, limit int64) *Cache { return &Cache{root: root, limit: limit} }

// Root returns the directory, "" for a cache that keeps nothing.
func (c *Cache) Root() string { return c.root }

// head is the first line of an entry's file; the body follows.
type head struct {
	Key  string `json:"key"`
	ETag string `json:"etag,omitempty"`
	Size int64  `json:"size"`
	Sum  string `json:"sha256"`
}

const maxHead = 8 << 10

func (c *Cache) file(key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(c.root, "entries", name[:2], name[2:])
}

// Get returns the entry of a key, if there is a sound one.
func (c *Cache) Get(key string) (Entry, bool) {
	if c.root == "" {
		return Entry{}, false
	}
	path := c.file(key)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > c.limit {
		return Entry{}, false
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Entry{}, false
	}
	line, body, ok := bytes.Cut(b, []byte("\n"))
	var h head
	if !ok || len(line) > maxHead || json.Unmarshal(line, &h) != nil || h.Key != key || h.Sum != sum(body) {
		return Entry{}, false
	}
	return Entry{Body: body, Size: h.Size, ETag: h.ETag, Checked: info.ModTime()}, true
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Put keeps an entry. An error means that it is not kept, and nothing else.
func (c *Cache) Put(key string, e Entry) error {
	if c.root == "" {
		return nil
	}
	line, err := json.Marshal(head{Key: key, ETag: e.ETag, Size: e.Size, Sum: sum(e.Body)})
	if err != nil {
		return err
	}
	if err := WriteFile(c.file(key), append(append(line, '\n'), e.Body...)); err != nil {
		return err
	}
	// The first entry of a process looks after what earlier ones left.
	if n := c.puts.Add(1); n == 1 || n%sweepEvery == 0 {
		c.sweep()
	}
	return nil
}

// Touch notes that the entry was found to be current, or is still of use.
func (c *Cache) Touch(key string) {
	if c.root != "" {
		now := time.Now()
		_ = os.Chtimes(c.file(key), now, now) // one that is gone is fetched again
	}
}

// WriteFile puts b at path, whole or not at all, making its directories.
func WriteFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, temporary+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = rename.Over(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

const (
	temporary  = "tmp-"
	sweepEvery = 64
	// abandoned is the age at which a temporary file has no writer any more.
	abandoned = time.Hour
)

// sweep removes what was not used for longest until a fifth of the limit is
// free, when the directory holds more than the limit. Entries that other
// processes remove meanwhile do not matter.
func (c *Cache) sweep() {
	type kept struct {
		path string
		size int64
		used time.Time
	}
	var all []kept
	var total int64
	_ = filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if name := d.Name(); len(name) > len(temporary) && name[:len(temporary)] == temporary && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(path)
			return nil
		}
		all = append(all, kept{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if total <= c.limit {
		return
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range all {
		if total <= c.limit/5*4 {
			return
		}
		if os.Remove(k.path) == nil {
			total -= k.size
		}
	}
}
