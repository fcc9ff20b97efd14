package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// Option is how an engine's command line says one flag of a load. The zero
// Option is that of a flag which the engine's Launch writes by itself.
type Option struct {
	// Name is the option that takes the flag's value.
	Name string
	// Words are the values that Name takes, by what a load may call them; nil
	// when it takes a number.
	Words map[string]string
	// List: Name takes numbers with commas between them.
	List bool
	// On and Off are the options of a switch, "" for the engine's default.
	On, Off string
	// Env is the environment variable that takes the number when there is no
	// option.
	Env string
	// Why says why the engine has no option for the flag.
	Why string
}

// Flags writes the flags of a load, in order of their names, each by its entry
// in options. A flag that is said by none is noted in c, so that nothing which
// changes memory is dropped in silence. Errors are *model.Error: a value that
// the option does not take.
func (a *Args) Flags(c *Command, flags Flags, options map[string]Option) error {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		o, ok := options[name]
		if !ok || o.Why != "" {
			c.Unsaid(fmt.Sprintf("%s %v", name, flags[name]), o.Why)
			continue
		}
		if err := a.flag(c, flags, name, o); err != nil {
			return err
		}
	}
	return nil
}

func (a *Args) flag(c *Command, flags Flags, name string, o Option) error {
	switch {
	case o.On != "" || o.Off != "":
		on, err := flags.Bool(name, false)
		a.On(o.On, on && o.On != "")
		a.On(o.Off, !on && o.Off != "")
		return err
	case o.Words != nil:
		s, err := flags.String(name, "")
		if err != nil {
			return err
		}
		word, ok := o.Words[strings.ToLower(strings.TrimSpace(s))]
		if !ok {
			e := model.Errorf(model.InvalidArgument, "flags."+name, "%s does not take %q", o.Name, s)
			e.Candidates = slices.Sorted(maps.Keys(o.Words))
			return e.WithHint("use one of the candidates")
		}
		if word != "" {
			a.Set(o.Name, word)
		}
	case o.List:
		list, err := flags.list(name)
		if err != nil {
			return err
		}
		a.Set(o.Name, list)
	case o.Name != "" || o.Env != "":
		n, err := flags.number(name)
		if err != nil {
			return err
		}
		if o.Name != "" {
			a.Set(o.Name, n)
		} else {
			c.Env[o.Env] = n
		}
	}
	return nil
}

// Unsaid notes a flag that the command does not carry; why may be "".
func (c *Command) Unsaid(flag, why string) {
	if why == "" {
		why = "set it where the engine is configured, or leave it out of the plan"
	}
	c.Notes = append(c.Notes, flag+" has no option: "+why)
}

// number returns a number in its shortest decimal form: counts without a point
// or an exponent.
func (f Flags) number(name string) (string, error) {
	if n, err := f.Int(name, 0); err == nil {
		return strconv.FormatInt(n, 10), nil
	}
	x, err := f.Float(name, 0)
	return strconv.FormatFloat(x, 'f', -1, 64), err
}

// list returns numbers with commas between them, from a JSON array, one
// number, or text.
func (f Flags) list(name string) (string, error) {
	var parts []any
	switch v := f[name].(type) {
	case []any:
		parts = v
	case bool: // "no sizes at all"
		if v {
			return "", f.bad(name, "a list of numbers")
		}
		parts = []any{int64(0)}
	case string:
		for _, x := range strings.Split(strings.Trim(v, "[] "), ",") {
			parts = append(parts, strings.TrimSpace(x))
		}
	default:
		parts = []any{v}
	}
	out := make([]string, len(parts))
	for i, x := range parts {
		n, err := Flags{name: x}.number(name)
		if err != nil {
			return "", f.bad(name, "a list of numbers")
		}
		out[i] = n
	}
	return strings.Join(out, ","), nil
}

// Same returns the words that an option takes and a load calls the same.
func Same(words ...string) map[string]string {
	out := make(map[string]string, len(words))
	for _, w := range words {
		out[w] = w
	}
	return out
}

// DTypes are the names of run-time types in a load, by what PyTorch calls them;
// "" is the engine's own default.
func DTypes(names ...string) map[string]string {
	out := map[string]string{"": "", "auto": "auto"}
	for _, short := range [...][]string{
		{"bfloat16", "bf16"}, {"float16", "fp16", "f16", "half"}, {"float32", "fp32", "f32", "float"},
	} {
		if !slices.Contains(names, short[0]) {
			continue
		}
		for _, n := range short {
			out[n], out["torch."+n] = short[0], short[0]
		}
	}
	return out
}

// CacheOption is what an engine's option calls a cache type of a load: names by
// the canonical name of the type (quant.ParseCache), the two forms of fp8 as
// e4m3 and e5m2. "" is what the engine takes unasked.
func CacheOption(engine, canonical, given string, names map[string]string) (string, error) {
	if canonical == "fp8" {
		canonical = "e4m3"
		if strings.Contains(strings.ToLower(given), "e5m2") {
			canonical = "e5m2"
		}
	}
	if option, ok := names[canonical]; ok {
		return option, nil
	}
	return "", model.Errorf(model.InvalidArgument, "kv_cache_dtype", "%s has no option for a cache in %s", engine, given).
		WithHint("leave kv_cache_dtype out, or set it to fp8")
}
