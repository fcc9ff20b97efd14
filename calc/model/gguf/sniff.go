package gguf

import (
	"bytes"
	"encoding/binary"
	"strings"

	"hwledger/calc/model"
)

// notGGUF are beginnings of what is found in the place of GGUF files.
var notGGUF = [...]struct{ prefix, what, hint string }{
	{"version https://git-lfs", "a Git LFS pointer, not the file it points to", "fetch the file itself: git lfs pull, or download it from the hub"},
	{"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint", "convert the model to GGUF, or give the directory with config.json"},
	{"\x80\x02", "a Python pickle, such as a PyTorch checkpoint", "convert the model to GGUF, or give the directory with config.json"},
	{"\x80\x04", "a Python pickle, such as a PyTorch checkpoint", "convert the model to GGUF, or give the directory with config.json"},
	{"<!doctype", "an HTML page, often a login or error page", "download the file again; a gated model asks for a token"},
	{"<html", "an HTML page, often a login or error page", "download the file again; a gated model asks for a token"},
	{"ggml", "an old GGML file, from before GGUF", "convert the model again"},
	{"lmgg", "an old GGML file, from before GGUF", "convert the model again"},
	{"tjgg", "an old GGJT file, from before GGUF", "convert the model again"},
	{"fmgg", "an old GGMF file, from before GGUF", "convert the model again"},
	{"algg", "an old GGLA adapter, from before GGUF", "convert the adapter again"},
	{"\x1f\x8b", "a gzip archive", "unpack it first"},
	{"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"},
	{"\xfd7zXZ", "an xz archive", "unpack it first"},
	{"\x93NUMPY", "a NumPy array", "give a GGUF file"},
	{"{", "JSON text", "give config.json by its name to have it read as a configuration"},
	{"\x00\x00\x00\x00", "zeros: space set aside for a download that has not arrived", "finish the download"},
}

// sniff checks the magic number and tells what a file is that has another.
func sniff(c *cursor) error {
	b := c.b
	if c.size == 0 {
		return malformed("", "the file is empty").WithHint("download it again")
	}
	if len(b) < 4 && (c.size < 0 || c.size >= 4) {
		return &NeedMore{Offset: 0, Bytes: 24}
	}
	if bytes.HasPrefix(b, []byte("GGUF")) {
		return nil
	}
	if what, hint := describe(b); what != "" {
		return malformed("", "not a GGUF file but %s (at offset 0)", what).WithHint("%s", hint)
	}
	return malformed("", "not a GGUF file: it begins with % x instead of \"GGUF\" (at offset 0)", b[:min(4, len(b))]).
		WithHint("give a .gguf file, or the directory with config.json")
}

// describe says what kind of file begins with b, "" when it is not known.
func describe(b []byte) (what, hint string) {
	if len(b) > 9 && b[8] == '{' && binary.LittleEndian.Uint64(b) < 1<<28 {
		return "a safetensors file", "give the directory that has it beside config.json"
	}
	head := strings.ToLower(string(bytes.TrimLeft(b[:min(64, len(b))], " \t\r\n")))
	raw := string(b[:min(64, len(b))])
	for _, n := range notGGUF {
		if strings.HasPrefix(raw, n.prefix) || strings.HasPrefix(head, n.prefix) {
			return n.what, n.hint
		}
	}
	return "", ""
}

// Peek reports as an error what b, the beginning of a file, is when it is not
// GGUF; nil when it begins as GGUF does.
func Peek(b []byte) *model.Error {
	c := cursor{b: b, size: int64(len(b))}
	err, _ := sniff(&c).(*model.Error)
	return err
}
