package gguf

// Foresight is implemented by readers that fetch from afar: Parse tells them
// how far the header is expected to reach, so that they fetch it in a few
// large pieces and little beyond it.
type Foresight interface {
	// Expect is told that the bytes up to offset end will probably be read.
	Expect(end int64)
}

// Bytes that headers hold between and after their large arrays.
const (
	tensorInfo = 72       // a name of 25 to 30 bytes, dimensions, type, offset
	smallKeys  = 64 << 10 // other keys, a chat template among them
	sample     = 1000     // strings after which an array's average means something
	shortToken = 6        // a token's bytes when nothing is known yet, on average at least
)

// The arrays of a vocabulary that are worth foreseeing.
const (
	tokensKey = "tokenizer.ggml.tokens"
	mergesKey = "tokenizer.ggml.merges"
)

// ahead estimates how many bytes of the header follow d.off. It is rather too
// low than too high: what is fetched for nothing costs more than a request.
func (d *Decoder) ahead() int64 {
	switch d.state {
	case readingStart, done:
		return 0
	case readingTensors:
		return d.tensors * tensorInfo
	}
	n := d.tensors*tensorInfo + smallKeys
	if d.state == readingStrings {
		n += d.stringsAhead()
	}
	return n + d.vocabularyAhead()
}

// stringsAhead estimates what is left of the array that is being read.
func (d *Decoder) stringsAhead() int64 {
	read := d.value.Len - d.left
	perString := int64(8 + shortToken)
	if read >= sample {
		perString = (d.off - d.began) / read
	}
	n := d.left * perString
	if d.key == mergesKey && d.vocabulary.n > 0 {
		n = max(n, d.mergesLike(d.value.Len)-(d.off-d.began))
	}
	return n
}

// mergesLike estimates the size of n merges: a merge is the token that it
// makes, with a space in it.
func (d *Decoder) mergesLike(n int64) int64 {
	v := d.vocabulary
	return n * (v.bytes + v.n) / v.n
}

// vocabularyAhead estimates the arrays that follow a vocabulary which is being
// read, or was read last: the type of each token, and the merges that a
// byte-pair encoding cannot do without.
func (d *Decoder) vocabularyAhead() int64 {
	v := d.vocabulary
	if d.state == readingStrings && d.key == tokensKey {
		v.n = d.value.Len
		v.bytes = d.off - d.began + d.stringsAhead()
	}
	if v.n == 0 {
		return 0
	}
	var n int64
	if _, known := d.h.KV["tokenizer.ggml.token_type"]; !known && d.kvs > 1 {
		n += 4 * v.n
	}
	_, known := d.h.KV[mergesKey]
	if known || d.key == mergesKey || d.kvs < 2 || d.h.Text("tokenizer.ggml.model") != "gpt2" {
		return n
	}
	return n + v.bytes + v.n
}
