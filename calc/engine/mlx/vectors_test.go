package mlx

import (
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func layers(n int, x model.Mixer) []model.Layer {
	out := make([]model.Layer, n)
	for i := range out {
		out[i] = model.Layer{Mixers: []model.Mixer{x}}
	}
	return out
}

func gqa(heads, kv, d, window int64) *model.Attention {
	return &model.Attention{Heads: heads, KVHeads: kv, KeyDim: d, ValueDim: d, Window: window, SharedFrom: -1}
}

func llama8B() *model.Model {
	return &model.Model{Type: "llama", Layers: layers(32, gqa(32, 8, 128, 0)), Causal: true, Hidden: 4096, Vocab: 128256, DType: "bfloat16"}
}

func gemma27B() *model.Model {
	m := &model.Model{Type: "gemma3_text", Causal: true, Hidden: 5376, Vocab: 262208, DType: "bfloat16"}
	for i := range 62 {
		w := int64(1024)
		if (i+1)%6 == 0 {
			w = 0
		}
		m.Layers = append(m.Layers, layers(1, gqa(32, 16, 128, w))...)
	}
	return m
}

func usage(t testing.TB, m *model.Model, l engine.Load) *engine.Usage {
	t.Helper()
	l.TensorParallel, l.PipelineParallel, l.DataParallel = 1, 1, 1
	u, err := New().Plan(m, l, engine.Hardware{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func sum(u *engine.Usage, c engine.Category) (n int64) {
	for i := range u.Terms {
		if u.Terms[i].Category == c {
			n += int64(u.Terms[i].Bytes)
		}
	}
	return n
}

// The vectors of the reference set, by id.
func TestCacheVectors(t *testing.T) {
	for _, c := range []struct {
		id        string
		m         *model.Model
		tokens    int64
		generated int64
		kv        string
		flags     engine.Flags
		want      int64
	}{
		{"V082", llama8B(), 32768, 0, "mlx-4bit", nil, 1207959552},
		{"V082", llama8B(), 32768, 0, "", engine.Flags{"kv_bits": 4, "kv_group_size": 64}, 1207959552},
		{"V083", llama8B(), 32768, 0, "mlx-8bit", nil, 2281701376},
		{"V086", llama8B(), 1100, 100, "bf16", nil, 167772160},
		{"V087", llama8B(), 5010, 10, "bf16", nil, 671088640},
		{"V088", gemma27B(), 5010, 10, "bf16", nil, 855638016},
	} {
		f := engine.Flags{"max_tokens": c.generated}
		for k, v := range c.flags {
			f[k] = v
		}
		u := usage(t, c.m, engine.Load{ContextTokens: c.tokens, Sequences: 1, KVCacheType: c.kv, Flags: f})
		if got := sum(u, engine.KVCache); got != c.want {
			t.Errorf("%s: %d B, want %d", c.id, got, c.want)
		}
	}
}

// array is the number of tokens of a cache's arrays as mlx-lm's code would
// have it, pass by pass.
type array struct {
	shape, offset, peak int64
}

func (a *array) grow(n int64) {
	if a.offset+n > a.shape {
		if a.offset%256 != 0 {
			a.shape = a.offset
		}
		a.shape += (n + 255) / 256 * 256
	}
	a.offset += n
}

func (a *array) rotate(n, window int64) {
	if n > 1 {
		if a.shape > window-1 {
			a.shape = window - 1
		}
		a.shape += n
	} else {
		if a.offset >= a.shape && a.shape < window {
			a.shape += min(256, window-a.offset)
		}
		a.shape = min(a.shape, window)
	}
	a.offset += n
	a.peak = max(a.peak, a.shape)
}

// TestGrowthFollowsTheCode compares the closed forms with single passes.
// mlx-lm reads the last prompt token alone; a pass of one token before it goes
// the same way.
func TestGrowthFollowsTheCode(t *testing.T) {
	for _, step := range []int64{2, 100, 256, 300, 512, 2048} {
		for _, prompt := range []int64{1, 2, 3, 255, 256, 257, 1000, 2047, 2048, 2049, 5000, 9000} {
			for _, generated := range []int64{0, 1, 10, 300, 2000} {
				run := func(add func(int64)) {
					left := prompt
					for left > 1 {
						n := min(step, left-1)
						add(n)
						left -= n
					}
					for range 1 + generated {
						add(1)
					}
				}
				var a array
				run(a.grow)
				if got := grown(prompt, generated, step); got != a.shape {
					t.Fatalf("grown(%d, %d, %d) = %d, the code has %d", prompt, generated, step, got, a.shape)
				}
				if (prompt-1)%step == 1 {
					continue // a pass of one token rotates in place
				}
				for _, window := range []int64{128, 512, 1024, 4096} {
					var a array
					run(func(n int64) { a.rotate(n, window) })
					held, peak := rotating(prompt, generated, step, window)
					if held != a.shape || peak != a.peak {
						t.Fatalf("rotating(%d, %d, %d, %d) = %d, %d, the code has %d, %d", prompt, generated, step, window, held, peak, a.shape, a.peak)
					}
				}
			}
		}
	}
}

// A context of 268 million tokens is sized without walking through it.
func TestGrowthOfLongContexts(t *testing.T) {
	for _, step := range []int64{1, 3, 300, 2048} {
		n := int64(1 << 27)
		if got := grown(n, 0, step); got < n || got > n+step+2*growth {
			t.Errorf("grown(%d, 0, %d) = %d", n, step, got)
		}
	}
}
