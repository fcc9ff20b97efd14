package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"hwledger/internal/fault"
)

// Names of the files in a ledger's directory.
const (
	fileName   = "ledger.db"
	keyName    = "key"        // the signing key, readable by its owner only
	pinnedName = "checkpoint" // the last checkpoint, outside the database
)

// key is a ledger's signing key. Its name is the ledger's origin.
type key struct {
	signer note.Signer
	// verifier is the public half in the form that people hand on.
	verifier string
}

// newOrigin returns a fresh identity for a ledger.
func newOrigin() string {
	var id [8]byte
	rand.Read(id[:]) // crypto/rand never fails
	return "hwledger.local/" + hex.EncodeToString(id[:])
}

// loadKey reads the directory's key; fs.ErrNotExist is that there is none.
func loadKey(dir string) (*key, error) {
	path := filepath.Join(dir, keyName)
	secret, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	k, err := parseKey(strings.TrimSpace(string(secret)))
	if err != nil { // which says nothing of the file's content
		return nil, fault.New(fault.MalformedFile, path, "the ledger's key cannot be read").
			WithHint("put the key back from a backup; without it no checkpoint can be signed")
	}
	return k, nil
}

// parseKey reads a note signer key, "PRIVATE+KEY+name+hash+base64(1 ‖ seed)".
func parseKey(secret string) (*key, error) {
	s, err := note.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	parts := strings.SplitN(secret, "+", 5) // base64 may have plus signs of its own
	b, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(b) != 1+ed25519.SeedSize {
		return nil, errors.New("not an Ed25519 key")
	}
	public, ok := ed25519.NewKeyFromSeed(b[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("not an Ed25519 key")
	}
	v, err := note.NewEd25519VerifierKey(s.Name(), public)
	return &key{s, v}, err
}

// makeKey writes a new key. The caller holds the ledger's write lock, so that
// there is one.
func makeKey(dir string) (*key, error) {
	secret, _, err := note.GenerateKey(rand.Reader, newOrigin())
	if err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(dir, keyName), []byte(secret+"\n"), 0o600); err != nil {
		return nil, err
	}
	return loadKey(dir)
}

// needKey reads the directory's key, or makes it when there is none.
func needKey(dir string) (*key, error) {
	k, err := loadKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(dir)
	}
	return k, err
}

// readSmall reads a file that a few kilobytes are enough for.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	const most = 64 << 10
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fault.New(fault.MalformedFile, path, "the file is not what it should be").WithHint("it should be text of at most %d bytes", most)
	}
	return os.ReadFile(path)
}
