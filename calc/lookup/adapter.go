package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
)

// Files of a PEFT adapter.
const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
	adapterPickle  = "adapter_model.bin"
)

// peft is what adapter_config.json says (huggingface/peft).
type peft struct {
	Type, Task, Base string
	Rank             int64
	Alpha            float64
	// Targets are the modules that have an adapter: names, or one pattern.
	Targets []string
	// Saved are modules stored whole beside the adapter.
	Saved []string
}

// parsePEFT reads an adapter_config.json. Fields of an unexpected type are as
// if absent; only what is no JSON object, or names no method, is an error.
func parsePEFT(raw []byte) (*peft, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil || doc == nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: adapterConfig, Message: "not a JSON object", Err: err}
	}
	var p peft
	text := func(key string) (s string) {
		if json.Unmarshal(doc[key], &s) != nil {
			return ""
		}
		return Clean(s, MaxText)
	}
	texts := func(key string) (l []string) {
		if json.Unmarshal(doc[key], &l) == nil {
			return l
		}
		if s := text(key); s != "" {
			return []string{s}
		}
		return nil
	}
	p.Type, p.Task, p.Base = text("peft_type"), text("task_type"), text("base_model_name_or_path")
	if p.Type == "" {
		return nil, model.Errorf(model.MalformedFile, adapterConfig, "peft_type is missing: this is no adapter that is known")
	}
	if json.Unmarshal(doc["r"], &p.Rank) != nil || p.Rank < 0 {
		p.Rank = 0
	}
	if json.Unmarshal(doc["lora_alpha"], &p.Alpha) != nil {
		p.Alpha = 0
	}
	p.Targets, p.Saved = texts("target_modules"), texts("modules_to_save")
	slices.Sort(p.Targets)
	return &p, nil
}

// describe puts the configuration into the component.
func (p *peft) describe(c *Component) {
	c.Class = p.Type
	c.detail("base_model_name_or_path", p.Base)
	c.detail("task_type", p.Task)
	if p.Rank > 0 {
		c.detail("r", strconv.FormatInt(p.Rank, 10))
	}
	if p.Alpha != 0 {
		c.detail("lora_alpha", strconv.FormatFloat(p.Alpha, 'g', -1, 64))
	}
	c.detail("target_modules", strings.Join(p.Targets, ", "))
	c.detail("modules_to_save", strings.Join(p.Saved, ", "))
}

// readAdapter describes the PEFT adapter in t, nil when there is none. The
// tensors are nil when its weights have no header.
func readAdapter(ctx context.Context, t tree) (*Component, *peft, []model.Tensor, error) {
	if !t.has(ctx, adapterConfig) {
		return nil, nil, nil, nil
	}
	raw, err := t.read(ctx, adapterConfig, MaxConfig)
	if err != nil {
		return nil, nil, nil, pathError(t.path(adapterConfig), err)
	}
	p, err := parsePEFT(raw)
	if err != nil {
		return nil, nil, nil, at(t.path(adapterConfig), err)
	}
	c := &Component{Name: "adapter", Kind: KindAdapter, Files: []File{{Path: t.path(adapterConfig), Bytes: int64(len(raw)), Role: "config"}}}
	p.describe(c)
	switch {
	case t.has(ctx, adapterWeights):
		stored, err := c.addSafetensors(ctx, t, []string{adapterWeights})
		if err != nil {
			return nil, nil, nil, err
		}
		return c, p, storedTensors(stored, "", model.Text), nil
	case t.has(ctx, adapterPickle):
		return c, p, nil, c.addPickles(ctx, t, []string{adapterPickle})
	}
	return nil, nil, nil, model.Errorf(model.MalformedFile, "model", "%s has no weights beside it", Clean(t.path(adapterConfig), MaxText)).
		WithHint("finish the download: %s is missing", adapterWeights)
}

// fromAdapter describes an adapter that lies alone: its base model with the
// adapter as a component, or the adapter itself when the base is not known.
func fromAdapter(ctx context.Context, t tree) (*Result, error) {
	c, p, tensors, err := readAdapter(ctx, t)
	if err != nil {
		return nil, err
	}
	return withBase(ctx, t, c, strings.ToLower(p.Type), model.FormatSafetensors, p.Base, adapterConfig, tensors)
}

// withBase answers for an adapter: base, with the adapter as a component. from
// says which file names the base. A base that cannot be found is said.
func withBase(ctx context.Context, t tree, c *Component, typ string, format model.Format, base, from string, tensors []model.Tensor) (*Result, error) {
	found, err := resolveBase(ctx, t, base)
	if ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		r := c.alone(model.RoleAdapter, typ, format, tensors)
		r.Provenance = append(r.Provenance, fact("base_model", base, from+"; it could not be described: "+err.Error()))
		return r, nil
	}
	m := *found.Model
	m.Facts = nil // they are in found.Provenance
	r := *found
	r.Model = &m
	r.Components = append(slices.Clip(r.Components), *c)
	r.Files = append(slices.Clip(r.Files), c.Files...)
	r.Provenance = append([]model.Fact{
		fact("base_model", base, from+"; described from "+found.ResolvedFrom+": "+found.Reference),
		fact("adapter", strconv.FormatInt(c.Bytes, 10)+" bytes", t.origin()+"; parameters and stored bytes are those of the base model"),
	}, r.Provenance...)
	return &r, nil
}

// resolveBase finds the model that an adapter names. Files from elsewhere may
// name a model of the Hub or the catalogue only; a local adapter may name a
// directory too.
func resolveBase(ctx context.Context, t tree, base string) (*Result, error) {
	req := requestOf(ctx)
	_, onDisk := t.(dirTree)
	switch h, isHub := parseHub(base); {
	case base == "":
		return nil, errors.New("the adapter does not name it")
	case req.depth > maxBases:
		return nil, fmt.Errorf("adapters upon adapters, more than %d deep", maxBases)
	case isHub && h.whole, hubName(base) != "" && !isPath(base) && !strings.ContainsAny(base, "/."):
	case onDisk && isPath(base) && exists(base):
	default:
		return nil, errors.New("it is not a repository of the Hub")
	}
	return Resolve(ctx, Request{Ref: base, Offline: req.offline})
}

// maxBases is how deep an adapter's base may be an adapter itself.
const maxBases = 3

// request is what of a Request holds for the references that files name.
type request struct {
	offline bool
	depth   int
}

type requestKey struct{}

// withRequest keeps the request's limits for references found on the way.
func withRequest(ctx context.Context, req Request) context.Context {
	old := requestOf(ctx)
	return context.WithValue(ctx, requestKey{}, request{offline: req.Offline || old.offline, depth: old.depth + 1})
}

func requestOf(ctx context.Context) request {
	r, _ := ctx.Value(requestKey{}).(request)
	return r
}

// ggufAdapter describes a LoRA adapter in GGUF form: pairs of tensors named
// after the weight that they change, lora_a with the rank as its rows.
func ggufAdapter(ctx context.Context, t tree, h *gguf.Header, name string, size int64) (*Result, error) {
	c := &Component{Name: path.Base(name), Kind: KindAdapter, Class: Clean(strings.ToUpper(h.Text("adapter.type")), MaxText)}
	c.addGGUF(h, t.path(name), size)
	ranks, targets := map[int64]bool{}, map[string]bool{}
	for i := range h.Tensors {
		x := &h.Tensors[i]
		if weight, ok := strings.CutSuffix(x.Name, ".lora_a"); ok {
			ranks[x.Dims[1]] = true
			targets[ggufTarget(weight)] = true
		}
	}
	for _, n := range sortedKeys(ranks) {
		c.detail("r", strings.TrimPrefix(c.Details["r"]+", "+strconv.FormatInt(n, 10), ", "))
	}
	if a, ok := h.KV["adapter.lora.alpha"].Float(); ok {
		c.detail("lora_alpha", strconv.FormatFloat(a, 'g', -1, 64))
	}
	c.detail("target_modules", strings.Join(sortedKeys(targets), ", "))
	base := strings.TrimPrefix(h.Text("general.base_model.0.repo_url"), "https://huggingface.co/")
	if base == "" {
		base = strings.TrimPrefix(h.Text("general.base_model.0.organization")+"/"+h.Text("general.base_model.0.name"), "/")
	}
	c.detail("base_model", base)
	r, err := withBase(ctx, t, c, h.Architecture(), model.FormatGGUF, Clean(base, MaxText), "GGUF header", ggufTensors(h, model.Text))
	if err == nil && r.Model.Role == model.RoleAdapter && c.Class != "" {
		r.Model.Architecture = c.Class
	}
	return r, err
}

// ggufTarget returns the weight's name within its layer: attn_q of
// "blk.3.attn_q.weight".
func ggufTarget(weight string) string {
	weight = strings.TrimSuffix(weight, ".weight")
	if rest, ok := strings.CutPrefix(weight, "blk."); ok {
		if _, tail, ok := strings.Cut(rest, "."); ok {
			return tail
		}
	}
	return weight
}

func sortedKeys[K int64 | string](m map[K]bool) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
