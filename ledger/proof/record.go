// Package proof verifies a ledger from its bytes alone: the hash of an event,
// the chain and the Merkle tree of RFC 6962 over them, signed checkpoints
// (c2sp.org/tlog-checkpoint) and inclusion proofs (c2sp.org/tlog-proof). It
// knows nothing of databases; the ledger itself is checked by it, and so is a
// copy of it by somebody who has no more than files.
package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 hash.
type Hash = tlog.Hash

// SaltSize is the length of the salt that hides a payload behind its
// commitment, in bytes.
const SaltSize = 16

// Record is an event as it is hashed.
type Record struct {
	// Seq counts from 1; the event is leaf Seq-1 of the tree.
	Seq int64
	// Micros is the wall clock when it was written, Unix microseconds.
	Micros               int64
	Type, Subject, Actor string
	// Key is the idempotency key, "" for none.
	Key string
	// Salt and Payload are nil once the payload was erased; Commitment stays.
	Salt, Payload []byte
	Commitment    Hash
}

// Erased reports whether the payload is gone.
func (r *Record) Erased() bool { return r.Payload == nil }

// payloadDomain separates commitments from all other hashes.
const payloadDomain = "hwledger-payload-v1\x00"

// Commit returns what stands for a payload in the event's hash:
// SHA-256("hwledger-payload-v1" 0x00 ‖ salt ‖ payload). The random salt keeps
// an erased payload from being guessed.
func Commit(salt, payload []byte) Hash {
	return sha256.Sum256(appendCommitted(make([]byte, 0, 1024), salt, payload))
}

// appendCommitted appends the bytes that a commitment hashes.
func appendCommitted(dst, salt, payload []byte) []byte {
	return append(append(append(dst, payloadDomain...), salt...), payload...)
}

// AppendEnvelope appends the bytes that an event's leaf hashes to dst: the
// RFC 8785 object of its members and of prev, the leaf hash before it (zeros
// before the first).
func (r *Record) AppendEnvelope(dst []byte, prev Hash) []byte {
	dst = appendString(append(dst, `{"actor":`...), r.Actor)
	dst = hex.AppendEncode(append(dst, `,"commitment":"`...), r.Commitment[:])
	dst = appendString(append(dst, `","key":`...), r.Key)
	dst = hex.AppendEncode(append(dst, `,"prev":"`...), prev[:])
	dst = strconv.AppendInt(append(dst, `","seq":`...), r.Seq, 10)
	dst = appendString(append(dst, `,"subject":`...), r.Subject)
	dst = strconv.AppendInt(append(dst, `,"ts_us":`...), r.Micros, 10)
	dst = appendString(append(dst, `,"type":`...), r.Type)
	return append(dst, `,"v":1}`...)
}

// Leaf returns the event's leaf hash, SHA-256(0x00 ‖ envelope) as in RFC 6962
// section 2.1.
func (r *Record) Leaf(prev Hash) Hash {
	buf := make([]byte, 1, 512)
	return sha256.Sum256(r.AppendEnvelope(buf, prev))
}

// appendString appends s as a JSON string in the form of RFC 8785 section
// 3.2.2.2. Bytes that are not UTF-8, which no event is written with, stay as
// they are: no two strings have the same form.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch short := shortEscape(c); {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case short != 0:
			dst = append(dst, '\\', short)
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

func shortEscape(c byte) byte {
	switch c {
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	}
	return 0
}
