package proof

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// leaves and roots are the inputs and the tree hashes of Certificate
// Transparency's own tests of RFC 6962 (merkle_tree_test): roots[i] is that of
// the first i+1 leaves.
var (
	leaves = []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots  = []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestRFC6962Vectors(t *testing.T) {
	var f Frontier
	if got := f.Root(); hex.EncodeToString(got[:]) != empty {
		t.Errorf("the empty tree's root is %x", got)
	}
	for i, leaf := range leaves {
		data, err := hex.DecodeString(leaf)
		if err != nil {
			t.Fatal(err)
		}
		f.Add(tlog.RecordHash(data), nil)
		if got := f.Root(); hex.EncodeToString(got[:]) != roots[i] {
			t.Errorf("the root of %d leaves is %x, want %s", i+1, got, roots[i])
		}
	}
}

// grow returns the tree of n leaves, as a ledger stores it.
func grow(n int64) (stored []Hash, leaf []Hash, at []Hash) {
	var f Frontier
	for i := range n {
		h := tlog.RecordHash(fmt.Appendf(nil, "event %d", i))
		leaf = append(leaf, h)
		stored = append(stored, h)
		stored = f.Add(h, stored)
		at = append(at, f.Root())
	}
	return stored, leaf, at
}

func reader(stored []Hash) tlog.HashReaderFunc {
	return func(indexes []int64) ([]Hash, error) {
		out := make([]Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	}
}

// What this package stores is what tlog reads, and proofs from it convince an
// independent implementation of RFC 6962.
func TestAgainstTransparencyDev(t *testing.T) {
	const n = 130
	stored, leaf, root := grow(n)
	r := reader(stored)
	for size := int64(1); size <= n; size++ {
		f, err := ReadFrontier(size, r)
		if err != nil || f.Root() != root[size-1] {
			t.Fatalf("the frontier of %d: %v", size, err)
		}
		if len(f.roots) != bits.OnesCount64(uint64(size)) {
			t.Errorf("the frontier of %d has %d roots", size, len(f.roots))
		}
		for i := range size {
			p, err := tlog.ProveRecord(size, i, r)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(size), leaf[i][:], slices(p), root[size-1][:]); err != nil {
				t.Fatalf("inclusion of %d in %d: %v", i, size, err)
			}
			if err := merkle.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(size), root[0][:], slices(p), root[size-1][:]); (err == nil) != (i == 0) {
				t.Fatalf("inclusion of another leaf at %d in %d: %v", i, size, err)
			}
		}
		for old := int64(1); old <= size; old++ {
			p, err := tlog.ProveTree(size, old, r)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), uint64(size), slices(p), root[old-1][:], root[size-1][:]); err != nil {
				t.Fatalf("consistency of %d with %d: %v", old, size, err)
			}
			older, newer := Checkpoint{"x", old, root[old-1]}, Checkpoint{"x", size, root[size-1]}
			if err := CheckConsistency(p, older, newer); err != nil {
				t.Fatalf("consistency of %d with %d: %v", old, size, err)
			}
			older.Root[0] ^= 1
			if CheckConsistency(p, older, newer) == nil {
				t.Fatalf("a fork at %d is taken for consistent with %d", old, size)
			}
		}
	}
}

func slices[T ~[]Hash](p T) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}

func newKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func TestInclusionText(t *testing.T) {
	s, v := newKey(t, "example.com/log")
	_, other := newKey(t, "example.com/log")
	stored, leaf, root := grow(100)
	c := Checkpoint{"example.com/log", 100, root[99]}
	signed, err := c.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tlog.ProveRecord(100, 42, reader(stored))
	if err != nil {
		t.Fatal(err)
	}
	text := Inclusion{42, path, signed}.Text()
	if !strings.HasPrefix(text, "c2sp.org/tlog-proof@v1\nindex 42\n") || !strings.HasSuffix(text, signed) || !strings.Contains(text, "=\n\nexample.com/log\n100\n") {
		t.Errorf("the proof's text is\n%s", text)
	}
	p, err := ParseInclusion(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Check(leaf[42], v); err != nil || got != c {
		t.Errorf("%v %v", got, err)
	}
	if _, err := p.Check(leaf[41], v); err == nil {
		t.Error("another leaf is proven")
	}
	if _, err := p.Check(leaf[42], other); err != ErrWrongKey {
		t.Errorf("another key: %v", err)
	}
	withExtra := strings.Replace(text, "index", "extra aGVsbG8=\nindex", 1)
	if p, err := ParseInclusion(withExtra); err != nil || p.Index != 42 || len(p.Path) != len(path) {
		t.Errorf("with extra data: %v", err)
	}
}

func TestBadTexts(t *testing.T) {
	s, v := newKey(t, "example.com/log")
	sign := func(text string) string {
		b, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
	for name, text := range map[string]string{
		"nothing": "", "no note": "example.com/log\n1\n" + root + "\n",
		"leading zero": sign("example.com/log\n01\n" + root + "\n"), "negative": sign("example.com/log\n-1\n" + root + "\n"),
		"short root": sign("example.com/log\n1\nAAAA\n"), "two lines": sign("example.com/log\n1\n"),
		"another log": sign("example.com/other\n1\n" + root + "\n"), "long": strings.Repeat("x", maxNote+1),
	} {
		if _, err := OpenCheckpoint(text, v); err == nil {
			t.Errorf("%s: taken for a checkpoint", name)
		}
	}
	if c, err := OpenCheckpoint(sign("example.com/log\n20852163\n"+root+"\nextension\n"), v); err != nil || c.Size != 20852163 {
		t.Errorf("an extension line: %+v %v", c, err)
	}
	for _, text := range []string{
		"", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v2\nindex 1\n\nx", "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
		"c2sp.org/tlog-proof@v1\nindex -1\n\nx", "c2sp.org/tlog-proof@v1\nindex 1\nnope\n\nx", "c2sp.org/tlog-proof@v1\nindex 1\n" + strings.Repeat(root+"\n", 64) + "\nx",
	} {
		if _, err := ParseInclusion(text); err == nil {
			t.Errorf("%.60q is taken for a proof", text)
		}
	}
}

// The envelope is RFC 8785 of its members: sorted names, the escapes of
// section 3.2.2.2, UTF-8 as it is. What is not UTF-8 has the form of no other
// string.
func TestEnvelope(t *testing.T) {
	r := Record{Seq: 7, Micros: 1764000000000000, Type: "note", Subject: "a\"\\\b\t\n\f\r\u001f</é€😀", Actor: "xÿy", Key: ""}
	got := string(r.AppendEnvelope(nil, Hash{}))
	zero := strings.Repeat("0", 64)
	want := `{"actor":"xÿy","commitment":"` + zero + `","key":"","prev":"` + zero + `","seq":7,"subject":"a\"\\\b\t\n\f\r\u001f</é€😀","ts_us":1764000000000000,"type":"note","v":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Error("the envelope is not JSON")
	}
	leaf := r.Leaf(Hash{})
	seen := map[Hash]string{}
	for _, actor := range []string{"x\xffy", "x\ufffdy", "x\xfey", "x\ufffd\ufffdy", "xÿy"} {
		r.Actor = actor
		if other, there := seen[r.Leaf(Hash{})]; there {
			t.Errorf("%q has the hash of %q", actor, other)
		}
		seen[r.Leaf(Hash{})] = actor
	}
	if leaf != tlog.RecordHash([]byte(want)) || leaf == sha256.Sum256([]byte(want)) {
		t.Error("the leaf is not RFC 6962's hash of the envelope")
	}
}

func FuzzParseInclusion(f *testing.F) {
	f.Add("c2sp.org/tlog-proof@v1\nindex 1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nexample.com/log\n2\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/log AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseInclusion(text)
		if err != nil {
			return
		}
		again, err := ParseInclusion(p.Text())
		if err != nil || again.Index != p.Index || len(again.Path) != len(p.Path) || again.Checkpoint != p.Checkpoint {
			t.Errorf("%q is read as %+v, %v", p.Text(), again, err)
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	_, v := newKey(f, "example.com/log")
	f.Add("example.com/log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/log AAAAAAAAAA==\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := OpenCheckpoint(text, v); err == nil {
			t.Error("a forged checkpoint") // nobody has the key
		}
		if c, err := parseCheckpoint(text); err == nil && !strings.HasPrefix(text, c.Text()) {
			t.Errorf("%q is read as %+v", text, c)
		}
	})
}

func FuzzExport(f *testing.F) {
	f.Add([]byte(`{"hwledger_export":1,"size":1}` + "\n" + `{"seq":1,"ts_us":1,"type":"note","subject":"x","actor":"y","salt":"AA==","payload":{},"commitment":"` + strings.Repeat("A", 43) + `=","leaf":"` + strings.Repeat("A", 43) + `="}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, damage, err := VerifyExport(context.Background(), bytes.NewReader(b), "", nil, func(int64, int64) {})
		if damage == nil && err == nil && w.Size() > 0 {
			t.Error("events are good whose hashes nobody computed")
		}
	})
}
