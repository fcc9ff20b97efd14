// Package hfconfig turns a Hugging Face config.json into a model.Model with
// the exact parameter count that the configuration implies.
//
// A model family is one function in one file and one register line. It reads
// fields through cfg, starts from newDecoder, changes what is special about
// the family, and calls build:
//
//	func init() { register("qwen3", qwen3, defaults{"vocab_size": 151936}) }
//
//	func qwen3(c *cfg) (*model.Model, error) {
//		d := newDecoder(c, "qwen3")
//		d.attn.Norms = model.HeadQKNorm
//		return d.build()
//	}
//
// A vision or audio tower is one function and one registerTower line, keyed
// by the model_type of the wrapper around the text model.
package hfconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"

	"hwledger/calc/model"
)

// MaxSize is the largest config.json that Parse reads, in bytes.
const MaxSize = 16 << 20

// maxDepth is the deepest nesting of objects and lists that Parse reads.
const maxDepth = 64

// family builds the model of one model_type from its (text) configuration.
type family func(c *cfg) (*model.Model, error)

type entry struct {
	build family
	def   defaults
}

// registry and towers are filled by init functions and not changed after.
var (
	registry = map[string]entry{}
	byClass  = map[string]string{} // normalised class name → model_type
	byKey    = map[string]string{} // distinctive key → model_type
	nested   = map[string]defaults{}
	towers   = map[string]tower{}
)

// register makes fn the family of model_type. def holds the values of the
// family's configuration class for keys that a config.json may omit; it may
// be nil.
func register(modelType string, fn family, def defaults) {
	registry[modelType] = entry{fn, def}
	byClass[normal(modelType)] = modelType
}

// registerClass maps a class name of config.json's architectures, without its
// "ForCausalLM" ending, to a model_type, for configurations without one. It is
// needed only when the two differ by more than case and underscores.
func registerClass(class, modelType string) { byClass[normal(class)] = modelType }

// registerKey maps a distinctive key to a model_type, for configurations that
// have neither a model_type nor architectures.
func registerKey(key, modelType string) { byKey[key] = modelType }

// registerNested gives a model_type more class defaults for when it is the
// text model of a wrapper: wrappers write only what differs from the class.
func registerNested(modelType string, def defaults) { nested[modelType] = def }

// tower returns the weights of a model's vision and audio towers with their
// projectors. c is the root of the configuration and m the finished text
// model. Each tensor's Group must be Vision or Audio.
type tower func(c *cfg, m *model.Model) ([]model.Tensor, error)

// registerTower makes fn the tower of the wrapper model_type. It is called
// when the configuration has a nested text model, a vision_config, an
// audio_config or other key ending in vision_config/audio_config.
func registerTower(modelType string, fn tower) { towers[modelType] = fn }

// Supported returns the known model types in order.
func Supported() []string {
	out := make([]string, 0, len(registry))
	for t := range registry {
		out = append(out, t)
	}
	sort.Strings(out)
	return out
}

// Parse describes the model of a config.json. A configuration that lacks
// needed keys gives a MalformedFile error naming all of them; one whose
// structure is not known gives UnsupportedArchitecture naming the fields.
// Nothing is guessed: what came from a class default is so marked in Facts.
func Parse(raw []byte) (*model.Model, error) {
	root, err := decode(raw)
	if err != nil {
		return nil, err
	}
	c, rootCfg := textConfig(root)
	e, err := c.family()
	if err != nil {
		return nil, err
	}
	c.of, c.def = c.modelType, e.def
	if more := nested[c.modelType]; c.path != "" && more != nil {
		c.def = more.and(e.def)
	}
	m, err := e.build(c)
	if err := c.failure(); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if odd := c.unread(decisive); len(odd) > 0 {
		return nil, model.Errorf(model.UnsupportedArchitecture, strings.Join(odd, ", "), "what this says about a %s model is not known", c.modelType).
			WithHint("Give the GGUF file or the safetensors headers of the model instead.")
	}
	if err := attachTowers(rootCfg, m); err != nil {
		return nil, err
	}
	if err := checkSize(m); err != nil {
		return nil, err
	}
	c.noteUnread()
	m.Facts = c.facts
	return m, nil
}

// decode reads one JSON object with numbers kept as written.
func decode(raw []byte) (map[string]any, error) {
	if len(raw) > MaxSize {
		return nil, model.Errorf(model.MalformedFile, "config.json", "%d bytes is beyond the limit of %d", len(raw), MaxSize)
	}
	if err := checkDepth(raw); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(withoutNonFinite(raw)))
	dec.UseNumber()
	var root map[string]any
	if err := dec.Decode(&root); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: "config.json", Message: "not a JSON object", Err: err}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, model.Errorf(model.MalformedFile, "config.json", "there is text after the JSON object")
	}
	if root == nil {
		return nil, model.Errorf(model.MalformedFile, "config.json", "want an object, got null")
	}
	return root, nil
}

// checkDepth refuses deep nesting before anything recursive sees it.
func checkDepth(raw []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return model.Errorf(model.MalformedFile, "config.json", "nested deeper than %d", maxDepth)
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return nil
}

// layerKeys are the names that give the number of layers; a root with none of
// them is a wrapper.
var layerKeys = []string{"num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"}

// nests are where wrappers keep their text model, in lookup order.
var nests = [][]string{
	{"text_config"}, {"llm_config"}, {"language_config"}, {"thinker_config", "text_config"},
	{"language_model"}, {"text_model"}, {"decoder"}, {"model_config"},
}

// textConfig returns the cfg of the text model and that of the root, which
// share one record.
func textConfig(root map[string]any) (text, top *cfg) {
	rec := &record{read: map[string]bool{}}
	top = &cfg{record: rec, obj: root}
	rec.rootType, _ = root["model_type"].(string)
	rec.modelType = rec.rootType
	for _, k := range layerKeys {
		if root[k] != nil {
			return top, top
		}
	}
	for _, nest := range nests {
		o, path := root, ""
		for _, k := range nest {
			o, _ = o[k].(map[string]any)
			path += k + "."
		}
		if o == nil {
			continue
		}
		// The wrapper's own type serves only when the text model does not say
		// what it is: it may be of another kind than in earlier releases.
		if t, _ := o["model_type"].(string); t != "" {
			rec.modelType = t
		}
		return &cfg{record: rec, obj: o, up: root, path: path}, top
	}
	return top, top
}

// family finds the family of the text model: by its model_type (or, when it
// has none, its wrapper's), by the class name, and at last, for a configuration that is
// plainly a standard decoder, the generic one.
func (c *cfg) family() (entry, error) {
	if e, ok := registry[c.modelType]; ok {
		return e, nil
	}
	class := c.class()
	if t := byClass[normal(class)]; c.modelType == "" && registry[t].build != nil {
		c.modelType = t
		c.note("model_type", t, "from architectures: "+class)
		return registry[t], nil
	}
	for k, t := range byKey {
		if c.modelType == "" && c.obj[k] != nil {
			c.modelType = t
			c.note("model_type", t, "known by its "+k)
			return registry[t], nil
		}
	}
	if c.modelType == "" {
		return entry{}, model.Errorf(model.MalformedFile, "model_type", "the configuration names neither a known model_type nor a known architecture").
			WithHint("Give the complete config.json of the model repository.")
	}
	return entry{build: assumed}, nil
}

// class returns architectures[0] without its task ending.
func (c *cfg) class() string {
	for _, o := range []map[string]any{c.obj, c.up} {
		if l, _ := o["architectures"].([]any); len(l) > 0 {
			s, _ := l[0].(string)
			return taskEnding.ReplaceAllString(s, "")
		}
	}
	return ""
}

var taskEnding = regexp.MustCompile(`(For[A-Z][A-Za-z]*|LMHeadModel|Model)$`)

func normal(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// attachTowers appends the towers' weights, or records that they are unknown.
func attachTowers(root *cfg, m *model.Model) error {
	var nested []string
	for k, v := range root.obj {
		if _, ok := v.(map[string]any); ok && (strings.HasSuffix(k, "vision_config") || strings.HasSuffix(k, "audio_config")) {
			nested = append(nested, k)
		}
	}
	slices.Sort(nested)
	fn, ok := towers[root.rootType]
	if !ok {
		for _, k := range nested {
			m.Multimodal = true
			root.note(k, "weights not counted", "the tower of "+root.rootType+" is not known")
		}
		return nil
	}
	ts, err := fn(root, m)
	if err != nil {
		return err
	}
	if err := root.failure(); err != nil {
		return err
	}
	m.Tensors = append(m.Tensors, ts...)
	m.Multimodal = m.Multimodal || len(ts) > 0
	return nil
}

// checkSize refuses a model whose parameters do not fit an int64 sum of bytes.
func checkSize(m *model.Model) error {
	total := 0.0
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Out < 0 || t.In < 0 || t.Count < 0 || t.Active < 0 {
			return model.Errorf(model.MalformedFile, t.Name, "the configuration gives a negative size")
		}
		total += float64(t.Out) * float64(t.In) * float64(t.Count)
	}
	if total > 1<<58 {
		return model.Errorf(model.MalformedFile, "config.json", "%.3g parameters are beyond what can be counted", total)
	}
	return nil
}
