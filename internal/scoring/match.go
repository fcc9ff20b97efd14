package scoring

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hwledger/calc/lookup"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// models finds model descriptions: in a directory of configurations when one
// was given, then in the embedded catalogue.
type models struct {
	names []string          // every known name
	files map[string]string // name → file, for those from the directory
	keys  []key
	cache map[string]*found
}

// key is a name reduced for comparison.
type key struct {
	base  string          // family, size and version, without variant and quantization
	words map[string]bool // all words of the name
	quant bool            // the name says how weights are stored
	name  string
}

// found is a model and how the row's name led to it.
type found struct {
	m     *model.Model
	name  string
	exact bool // the row names this repository, not a relative of it
	err   error
}

func newModels(dir string) (*models, error) {
	ms := &models{files: map[string]string{}, cache: map[string]*found{}}
	names, err := catalog.Names()
	if err != nil {
		return nil, err
	}
	ms.names = slices.Clone(names)
	if dir != "" {
		paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			return nil, err
		}
		nested, _ := filepath.Glob(filepath.Join(dir, "*", "config.json"))
		for _, p := range append(paths, nested...) {
			name := strings.TrimSuffix(filepath.Base(p), ".json")
			if name == "config" {
				name = filepath.Base(filepath.Dir(p))
			}
			name = strings.Replace(name, "__", "/", 1)
			ms.files[name] = p
			if !slices.Contains(ms.names, name) {
				ms.names = append(ms.names, name)
			}
		}
	}
	for _, n := range ms.names {
		ms.keys = append(ms.keys, keyOf(n))
	}
	return ms, nil
}

// quantWords are words of a name that say how weights are stored, variantWords
// those that do not change a model's shape.
var (
	quantWords = words("fp8 dynamic quantized w8a8 w4a16 w8a16 w4a4 int4 int8 awq gptq gptqmodel 4bit 8bit 4bits nvfp4 fp4 mxfp4 bnb autoround auto round mlx gguf a16 block compressed tensors int4mix int4 bf16 fp16 float16 mtp yml oq3 oq4 oq5 oq6 oq8")
	variants   = words("instruct it chat base hf thinking 2507 2512 abliterated huihui v2 uncensored meta reasoning preview text pt hf tp1 latest embedding")
)

func words(s string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(s) {
		out[w] = true
	}
	return out
}

// keyOf reduces a name: "RedHatAI/Qwen3.6-35B-A3B-NVFP4" to "qwen36-35b-a3b".
func keyOf(name string) key {
	k := key{name: name, words: map[string]bool{}}
	s := strings.ToLower(name)
	if i := strings.IndexByte(s, '('); i > 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(strings.TrimRight(s, "/"), '/'); i >= 0 {
		s = s[i+1:]
	}
	s = foldDots(s)
	var base []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("-_ /,", r) }) {
		k.words[w] = true
		switch {
		case quantWords[w]:
			k.quant = true
		case variants[w]:
		case isNumberBeforeSize(w) && len(base) > 0:
			base[len(base)-1] += w
		default:
			base = append(base, w)
		}
	}
	k.base = strings.Join(base, "-")
	return k
}

// foldDots drops the dots of version numbers ("3.1" is 31) and parts words at
// the others: "quantized.w8a8" is two words.
func foldDots(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r != '.':
			b.WriteRune(r)
		case i+1 < len(s) && (s[i+1] < '0' || s[i+1] > '9'):
			b.WriteByte('-')
		}
	}
	return b.String()
}

// isNumberBeforeSize reports a bare version number: "Qwen 3 6" is Qwen36.
func isNumberBeforeSize(w string) bool {
	for _, r := range w {
		if r < '0' || r > '9' {
			return false
		}
	}
	return len(w) <= 2
}

// aliases are names under which relatives of a model are served.
var aliases = map[string]string{
	"deepseek-r1-14b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
	"typhoon-ocr-7b":  "Qwen/Qwen2.5-VL-7B-Instruct",
}

// find returns the model that a row's name means.
func (ms *models) find(name string) *found {
	if f := ms.cache[name]; f != nil {
		return f
	}
	f := ms.search(name)
	ms.cache[name] = f
	return f
}

func (ms *models) search(name string) *found {
	bare := name[strings.LastIndexByte(name, '/')+1:]
	var broken *found // the repository itself, when its configuration is of no use
	for _, n := range ms.names {
		same := strings.EqualFold(n, name) || !strings.Contains(name, "/") && strings.EqualFold(n[strings.IndexByte(n, '/')+1:], name)
		if same || strings.EqualFold(n[strings.IndexByte(n, '/')+1:], bare) && !keyOf(n).quant {
			f := ms.load(n, true)
			if f.err == nil {
				return f
			}
			broken = f
		}
	}
	if a := aliases[strings.ToLower(bare)]; a != "" {
		return ms.load(a, false)
	}
	for _, n := range ms.relatives(name) {
		if f := ms.load(n, false); f.err == nil {
			return f
		} else if broken == nil {
			broken = f
		}
	}
	if broken != nil {
		return broken
	}
	return &found{err: model.Errorf(model.ModelNotFound, "model", "no known model is named like %q", name)}
}

// relatives lists the models of the same family, size and version, the
// likeliest first.
func (ms *models) relatives(name string) []string {
	type scored struct {
		name  string
		score int
	}
	want := keyOf(name)
	var all []scored
	for _, k := range ms.keys {
		if k.base != want.base {
			continue
		}
		n := 0
		for w := range want.words {
			if k.words[w] {
				n += 2
			}
		}
		for w := range k.words {
			if !want.words[w] {
				n--
			}
		}
		if k.quant {
			n -= 4 // a base model says more about shapes than another quantization
		}
		all = append(all, scored{k.name, n})
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.name, b.name)) })
	out := make([]string, len(all))
	for i := range all {
		out[i] = all[i].name
	}
	return out
}

func (ms *models) load(name string, exact bool) *found {
	f := &found{name: name, exact: exact}
	var broken error
	if path, ok := ms.files[name]; ok {
		m, err := fromFile(path)
		if err == nil {
			m.Name = name
			f.m = m
			return f
		}
		broken = err
	}
	r, err := lookup.Resolve(context.Background(), lookup.Request{Ref: "catalog:" + name, Offline: true})
	if err != nil {
		f.err = cmp.Or(broken, err)
		return f
	}
	f.m = r.Model
	return f
}

// fromFile reads a config.json, or a record that holds one under "config".
func fromFile(path string) (*model.Model, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rec struct {
		Config  json.RawMessage `json:"config"`
		Context int64           `json:"context_length"`
		Pruned  []string        `json:"config_pruned"`
	}
	if err := json.Unmarshal(raw, &rec); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, what := range rec.Pruned {
		if strings.HasPrefix(what, "quantization_config.") {
			return nil, fmt.Errorf("%s: a part of quantization_config was cut off, how its weights are stored is not known", path)
		}
	}
	if len(rec.Config) > 0 {
		raw = rec.Config
	}
	m, err := hfconfig.Parse(raw)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("no model")
	}
	if m.Context == 0 {
		m.Context = rec.Context
	}
	return m, nil
}
