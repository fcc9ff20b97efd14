package tools

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"testing"
)

// A picture comes beside the text, and only when it is asked for.
func TestPicture(t *testing.T) {
	for args, want := range map[string]int{
		`{"model":"Qwen/Qwen3-8B","hardware":"RTX 4090"}`:                                          1,
		`{"model":"Qwen/Qwen3-8B","hardware":"2x RTX 4090","detail":"summary","picture":true}`:     2,
		`{"model":"Qwen/Qwen3-8B","picture":true}`:                                                 2,
		`{"model":"openai/gpt-oss-20b","engine":"llama.cpp","hardware":"RTX 3060","picture":true}`: 2,
		`{"model":"Qwen/Qwen3-8B","hardware":"8x H100 SXM5 80GB + 512GB RAM","picture":true}`:      2,
	} {
		var answer struct {
			Content []struct{ Type, MIMEType, Data string }
		}
		exchange(t, Options{}, "tools/call", `"name":"plan_memory","arguments":`+args+`,`, &answer)
		if len(answer.Content) != want {
			t.Errorf("%s: %d contents, want %d", args, len(answer.Content), want)
			continue
		}
		if want == 1 {
			continue
		}
		c := answer.Content[1]
		raw, err := base64.StdEncoding.DecodeString(c.Data)
		if err != nil || c.Type != "image" || c.MIMEType != "image/png" {
			t.Errorf("%s: %s %s, %v", args, c.Type, c.MIMEType, err)
		}
		if _, err := png.Decode(bytes.NewReader(raw)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
		t.Logf("%s: %d bytes", args, len(raw))
	}
}
