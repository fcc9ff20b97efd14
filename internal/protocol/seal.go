package protocol

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"
)

// Sealer makes states that clients carry and cannot make: what a question was
// about, until when it holds, and that it is used once. The zero value seals
// with a key of its own, which ends with the process.
type Sealer struct {
	once sync.Once
	aead cipher.AEAD
	err  error

	mu   sync.Mutex
	used map[string]time.Time
}

// AnswerWithin is how long a person may think about a question.
const AnswerWithin = 10 * time.Minute

// sealed is what a state holds.
type sealed struct {
	Digest [sha256.Size]byte `json:"digest"`
	Until  time.Time         `json:"until"`
}

func (s *Sealer) init() error {
	s.once.Do(func() {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		block, err := aes.NewCipher(key)
		if err != nil {
			s.err = err
			return
		}
		s.aead, s.err = cipher.NewGCMWithRandomNonce(block)
		s.used = map[string]time.Time{}
	})
	return s.err
}

// Digest is what a state is about, as Seal and Opens take it.
func Digest(about any) ([sha256.Size]byte, error) {
	b, err := json.Marshal(about)
	return sha256.Sum256(b), err
}

// Seal returns a state that Opens takes once, for the same digest, within
// AnswerWithin.
func (s *Sealer) Seal(digest [sha256.Size]byte) (string, error) {
	if err := s.init(); err != nil {
		return "", err
	}
	b, err := json.Marshal(sealed{digest, time.Now().Add(AnswerWithin)})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, b, nil)), nil
}

// Opens reports whether the state was sealed here for the digest, is not too
// old, and was not used before.
func (s *Sealer) Opens(state string, digest [sha256.Size]byte) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || s.init() != nil {
		return false
	}
	b, err := s.aead.Open(nil, nil, raw, nil)
	var in sealed
	if err != nil || json.Unmarshal(b, &in) != nil || in.Digest != digest || time.Now().After(in.Until) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, until := range s.used {
		if time.Now().After(until) {
			delete(s.used, old)
		}
	}
	if _, used := s.used[state]; used {
		return false
	}
	s.used[state] = in.Until
	return true
}
