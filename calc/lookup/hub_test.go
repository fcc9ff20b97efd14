package lookup

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

func TestMain(m *testing.M) {
	// Tests that need a server or a cache start their own.
	dir, err := os.MkdirTemp("", "lookup")
	if err != nil {
		panic(err)
	}
	os.Setenv("HF_HUB_OFFLINE", "1")
	os.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	os.Setenv("HWLEDGER_HOME", filepath.Join(dir, "home"))
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func published(t testing.TB, id string) *catalog.Entry {
	t.Helper()
	e, ok, err := catalog.Find(id)
	if err != nil || !ok {
		t.Fatalf("%s: %v", id, err)
	}
	return e
}

// TestHubRepository: a repository with a configuration alone gives the exact
// count of the catalogue's model.
func TestHubRepository(t *testing.T) {
	s := &standIn{files: map[string][]byte{"config.json": published(t, "meta-llama/Llama-3.1-8B").Config}, license: "apache-2.0"}
	s.start(t)
	r, err := Resolve(context.Background(), Request{Ref: "org/name"})
	if err != nil {
		t.Fatal(err)
	}
	// The published count of Llama-3.1-8B.
	if got := r.Model.Count().Total; got != 8_030_261_248 || r.ResolvedFrom != "hub" || r.License != "apache-2.0" {
		t.Errorf("%d parameters from %s, licence %q", got, r.ResolvedFrom, r.License)
	}
}

// TestHubKept: what was read once is not asked for again while it is fresh;
// after that the Hub is asked whether it changed, and when it does not answer
// what it said last is used and said.
func TestHubKept(t *testing.T) {
	s := &standIn{files: map[string][]byte{"config.json": published(t, "meta-llama/Llama-3.1-8B").Config}}
	s.start(t)
	resolve := func(offline bool) *Result {
		t.Helper()
		r, err := Resolve(context.Background(), Request{Ref: "org/name", Offline: offline})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Model.Count().Total; got != 8_030_261_248 {
			t.Fatalf("%d parameters", got)
		}
		return r
	}
	resolve(false)
	resolve(false)
	if asked, files := s.asked.Load(), s.requests.Load(); asked != 1 || files != 1 {
		t.Errorf("while fresh: %d descriptions, %d files", asked, files)
	}
	age(t)
	resolve(false)
	if asked, current, files := s.asked.Load(), s.current.Load(), s.requests.Load(); asked != 2 || current != 1 || files != 1 {
		t.Errorf("after that: %d descriptions, %d of them current, %d files", asked, current, files)
	}
	stale := func(r *Result) bool {
		for _, f := range r.Provenance {
			if f.Field == "repository" && strings.Contains(f.From, "not asked") {
				return true
			}
		}
		return false
	}
	if !stale(resolve(true)) {
		t.Error("offline: the age of the answer is not said")
	}
	age(t)
	s.dead.Store(true)
	if !stale(resolve(false)) {
		t.Error("without an answer: its age is not said")
	}
}

// age makes everything that lookups kept two hours old.
func age(t *testing.T) {
	t.Helper()
	old := time.Now().Add(-2 * time.Hour)
	err := filepath.WalkDir(metadata().Root(), func(path string, d os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHubBreaksOff: a network that goes away in the middle is an error that
// says so, and leaves nothing behind that a later lookup could trip over.
func TestHubBreaksOff(t *testing.T) {
	f, err := ggufgen.Build([]byte(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":1000,"ctx":2048}`))
	if err != nil {
		t.Fatal(err)
	}
	whole := f.Set("tokenizer.ggml.merges", make([]string, 300_000)).Header()
	s := &standIn{files: map[string][]byte{"m.gguf": append(whole, make([]byte, 1<<20)...)}}
	s.start(t)
	s.cut.Store(1)
	ctx, cancel := context.WithCancel(context.Background())
	s.hold = func() {
		if s.requests.Load() == 2 {
			s.dead.Store(true) // the rest of the attempts get no answer at all
		}
	}
	_, err = Resolve(ctx, Request{Ref: "org/name/m.gguf"})
	cancel()
	if code(err) != model.Offline {
		t.Errorf("broken off: %v", err)
	}
	s.cut.Store(0)
	s.dead.Store(false)
	s.hold = nil
	r, err := Resolve(context.Background(), Request{Ref: "org/name/m.gguf"})
	if err != nil || len(r.Model.Layers) != 2 {
		t.Errorf("after that: %v", err)
	}
}

// TestHubGated: a gated repository that the catalogue knows is described from
// there, and the answer says why; one that nothing else knows is denied.
func TestHubGated(t *testing.T) {
	s := &standIn{id: "meta-llama/Llama-3.1-8B", files: map[string][]byte{"config.json": []byte("{}")}, token: "another", gated: true}
	s.start(t)
	r, err := Resolve(context.Background(), Request{Ref: "meta-llama/Llama-3.1-8B"})
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, f := range r.Provenance {
		said = said || f.Field == "hub" && strings.Contains(f.From, "gated")
	}
	if r.ResolvedFrom != "catalog" || !said {
		t.Errorf("from %s, reason said: %v", r.ResolvedFrom, said)
	}
	s = &standIn{files: map[string][]byte{"config.json": []byte("{}")}, token: "another", gated: true}
	s.start(t)
	_, err = Resolve(context.Background(), Request{Ref: "org/name"})
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.Denied || !strings.Contains(e.Hint, "HF_TOKEN") || strings.Contains(err.Error()+e.Hint, "hf_secret") {
		t.Errorf("gated: %v", err)
	}
}

// TestHubRefusals: what the Hub does not have, and what it is not asked for.
func TestHubRefusals(t *testing.T) {
	s := &standIn{files: map[string][]byte{"config.json": []byte("{}")}}
	s.start(t)
	for _, x := range []struct {
		req       Request
		code      model.Code
		candidate string
	}{
		{Request{Ref: "org/name@v9"}, model.ModelNotFound, ""},
		{Request{Ref: "Qwen/Qwen3-8BB"}, model.Denied, "Qwen/Qwen3-8B"},
		{Request{Ref: "Qwen/Qwen3-8BB", Offline: true}, model.ModelNotFound, "Qwen/Qwen3-8B"},
		{Request{Ref: "hf:meta-llama/Llama-3.1-8B:Q4_K_M", Offline: true}, model.Offline, "meta-llama/Llama-3.1-8B"},
		{Request{Ref: "https://example.com/x.gguf", Offline: true}, model.Offline, ""},
	} {
		_, err := Resolve(context.Background(), x.req)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != x.code {
			t.Errorf("%+v: %v", x.req, err)
		} else if x.candidate != "" && (len(e.Candidates) == 0 || e.Candidates[0] != x.candidate) {
			t.Errorf("%+v offers %v", x.req, e.Candidates)
		}
	}
}

// TestHubGGUF: the file is found by quantization, path or address, ambiguous
// names are refused with the choices, and only the header is fetched.
func TestHubGGUF(t *testing.T) {
	f, err := ggufgen.Build([]byte(qwen3))
	if err != nil {
		t.Fatal(err)
	}
	head := f.BigVocabulary().Header()
	s := &standIn{files: map[string][]byte{}, sizes: map[string]int64{}}
	for _, name := range []string{"model-Q4_K_M.gguf", "model-Q8_0.gguf", "UD-Q4_K_XL/model.gguf", "a-Q6_K.gguf", "b-Q6_K.gguf"} {
		s.files[name], s.sizes[name] = head, 64<<30
	}
	s.files["mmproj-F16.gguf"] = append(projectorFile(ggml.F16).Header(), make([]byte, 64<<10)...)
	s.start(t)
	for _, ref := range []string{"org/name:Q4_K_M", "hf:org/name:q8_0", "org/name/a-Q6_K.gguf", "org/name:UD-Q4_K_XL", s.cdn.URL + "/blob/b-Q6_K.gguf?Signature=s3cr3t"} {
		s.sent.Store(0)
		s.requests.Store(0)
		r, err := Resolve(context.Background(), Request{Ref: ref})
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if inRepo := !strings.HasPrefix(ref, "http"); inRepo && (len(r.Components) != 1 || r.Components[0].Kind != KindProjector || !r.Components[0].Chosen) {
			t.Errorf("%s: components %+v", ref, r.Components)
		}
		if r.Model.Arch != "qwen3moe" || len(r.Model.Layers) != 48 {
			t.Errorf("%s: %s with %d layers", ref, r.Model.Arch, len(r.Model.Layers))
		}
		if sent, n := s.sent.Load(), s.requests.Load(); sent < int64(len(head)) || sent > int64(len(head))+(256<<10) || n > 4 {
			t.Errorf("%s: %d bytes in %d requests for a header of %d", ref, sent, n, len(head))
		}
	}
	s.sent.Store(0)
	if _, err := Resolve(context.Background(), Request{Ref: "org/name:Q4_K_M", Offline: true}); err != nil || s.sent.Load() != 0 {
		t.Errorf("a header that is kept: %v, %d bytes", err, s.sent.Load())
	}
	for ref, want := range map[string]struct {
		code model.Code
		n    int
	}{"org/name:Q2_K": {model.ModelNotFound, 5}, "org/name:Q6_K": {model.InvalidArgument, 2}} {
		_, err := Resolve(context.Background(), Request{Ref: ref})
		var e *model.Error
		if !errors.As(err, &e) || e.Code != want.code || len(e.Candidates) != want.n {
			t.Errorf("%s: %v, %v", ref, err, e)
		}
	}
}

// names are what checkpoints call the tensors of Qwen3's MoE models.
var names = map[string]string{
	"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight",
	"attn_norm.weight": "input_layernorm", "ffn_norm.weight": "post_attention_layernorm",
	"attn_q.weight": "self_attn.q_proj", "attn_k.weight": "self_attn.k_proj", "attn_v.weight": "self_attn.v_proj", "attn_output.weight": "self_attn.o_proj",
	"attn_q_norm.weight": "self_attn.q_norm", "attn_k_norm.weight": "self_attn.k_norm",
	"ffn_gate_inp.weight": "mlp.gate", "ffn_gate_exps.weight": "mlp.experts.%d.gate_proj", "ffn_up_exps.weight": "mlp.experts.%d.up_proj", "ffn_down_exps.weight": "mlp.experts.%d.down_proj",
}

// sharded returns a checkpoint of Qwen3-235B-A22B in n files, whose index and
// headers are true.
func sharded(t testing.TB, n int) *standIn {
	t.Helper()
	const id = "Qwen/Qwen3-235B-A22B"
	r, err := Resolve(context.Background(), Request{Ref: "catalog:" + id})
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{files: map[string][]byte{"config.json": published(t, id).Config}, sizes: map[string]int64{}}
	heads := make([]map[string]any, n)
	for i := range heads {
		heads[i] = map[string]any{}
	}
	ends := make([]int64, n)
	where := map[string]string{}
	part := func(i int) string { return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n) }
	for _, x := range r.Model.Tensors {
		for e := range max(1, x.Count) {
			i := len(where) * n / 36945
			name := names[x.Name]
			if strings.Contains(name, "%d") {
				name = fmt.Sprintf(name, e)
			}
			if x.Layer >= 0 {
				name = fmt.Sprintf("model.layers.%d.%s.weight", x.Layer, name)
			}
			shape := []int64{x.Out, x.In}
			if x.Out == 1 {
				shape = shape[1:]
			}
			size := x.Out * x.In * 2
			heads[i][name] = map[string]any{"dtype": "BF16", "shape": shape, "data_offsets": []int64{ends[i], ends[i] + size}}
			ends[i] += size
			where[name] = part(i)
		}
	}
	for i, h := range heads {
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		s.files[part(i)] = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
		s.sizes[part(i)] = 8 + int64(len(text)) + ends[i]
	}
	if s.files[indexName], err = json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": where}); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHubShards: of a checkpoint in 163 files the index and the headers are
// fetched and little else, at least eight at once.
func TestHubShards(t *testing.T) {
	s := sharded(t, 163)
	s.start(t)
	var waiting atomic.Int64
	together := make(chan struct{})
	s.hold = func() {
		if s.requests.Load() > 2 { // after configuration and index
			if waiting.Add(1) == 8 {
				close(together)
			}
			<-together
		}
	}
	r, err := Resolve(context.Background(), Request{Ref: "org/name"})
	if err != nil {
		t.Fatal(err)
	}
	// The published count of Qwen3-235B-A22B, two bytes each.
	if r.StoredBytes != 2*235_093_634_560 || r.StoredByDType["BF16"] != r.StoredBytes {
		t.Errorf("%d bytes stored", r.StoredBytes)
	}
	var need int64
	for _, b := range s.files {
		need += int64(len(b))
	}
	if sent := s.sent.Load(); sent < need || sent > need+need/4 {
		t.Errorf("%d bytes sent for configuration, index and headers of %d", sent, need)
	}
	if n := s.requests.Load(); n != 165 {
		t.Errorf("%d requests", n)
	}
}

// BenchmarkHub describes a remote GGUF with 151936 tokens and a checkpoint in
// 163 files, and reports what travelled.
func BenchmarkHub(b *testing.B) {
	f, err := ggufgen.Build([]byte(qwen3))
	if err != nil {
		b.Fatal(err)
	}
	head := f.BigVocabulary().Header()
	single := &standIn{files: map[string][]byte{"m.gguf": head}, sizes: map[string]int64{"m.gguf": 16 << 30}}
	for _, x := range []struct {
		name, ref string
		s         *standIn
	}{{"gguf", "org/name/m.gguf", single}, {"safetensors-163", "org/name", sharded(b, 163)}} {
		b.Run(x.name, func(b *testing.B) {
			x.s.start(b)
			var need int64
			for _, c := range x.s.files {
				need += int64(len(c))
			}
			for b.Loop() {
				b.Setenv("HWLEDGER_HOME", b.TempDir())
				if _, err := Resolve(context.Background(), Request{Ref: x.ref}); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N)
			b.ReportMetric(float64(x.s.sent.Load())/n, "B-pulled/op")
			b.ReportMetric(float64(need), "B-headers/op")
			b.ReportMetric(float64(x.s.requests.Load())/n, "requests/op")
		})
	}
}

// qwen3 is Qwen3-30B-A3B for ggufgen.
const qwen3 = `{"name":"m","arch":"qwen3moe","L":48,"d":2048,"ff":6144,"h":32,"kv":4,"hd":128,"vocab":151936,"ctx":262144,"E":128,"k":8,"ffe":768}`

func TestParseHub(t *testing.T) {
	for ref, want := range map[string]hubRef{
		"org/name":                {id: "org/name", revision: "main", whole: true},
		"hf:org/name@v1.0":        {id: "org/name", revision: "v1.0", whole: true},
		"org/name:Q4_K_M":         {id: "org/name", revision: "main", quant: "Q4_K_M"},
		"hf:org/name/a/b.gguf":    {id: "org/name", revision: "main", file: "a/b.gguf"},
		"org/name@refs/pr/1":      {id: "org/name", revision: "refs/pr/1", whole: true},
		"org/../x.gguf":           {},
		"hf:org/name/../../etc":   {},
		"/org/name":               {},
		"./org/name":              {},
		"name":                    {},
		"catalog:org/name":        {},
		"hf:org/name/x/../y.gguf": {},
		"org/na me":               {},
		"org/name@a/../../../b":   {},
		"org/name@/etc":           {},
	} {
		got, ok := parseHub(ref)
		if ok != (want != hubRef{}) || ok && got != want {
			t.Errorf("%q: %+v %v, want %+v", ref, got, ok, want)
		}
	}
}
