package hfconfig

import (
	"slices"
	"strings"

	"hwledger/calc/model"
)

// mlxDescription returns the object in which MLX describes its quantization,
// nil when there is none. MLX writes it twice, as quantization and as
// quantization_config, and reads the first; the second may still be what the
// checkpoint that was converted said of itself, by a quant_method.
func (c *cfg) mlxDescription() *cfg {
	for _, name := range [...]string{"quantization", "quantization_config"} {
		v, _, _ := c.get(name)
		if o, ok := v.(map[string]any); !ok || o["quant_method"] != nil || o["quant_algo"] != nil || o["quantization"] != nil {
			continue
		}
		if m := c.child(name); m != nil && m.has("bits", "group_size") {
			return m
		}
	}
	return nil
}

// mlxDefaults are the group and the bits of each mode where a description
// leaves them out.
var mlxDefaults = map[string]model.Override{
	"affine": {Mode: "affine", GroupSize: 64, Bits: 4},
	"mxfp4":  {Mode: "mxfp4", GroupSize: 32, Bits: 4},
	"nvfp4":  {Mode: "nvfp4", GroupSize: 16, Bits: 4},
	"mxfp8":  {Mode: "mxfp8", GroupSize: 32, Bits: 8},
}

// mlxQuantization reads MLX's own description: mode, bits and group for
// everything, and by module path what differs. false keeps a module as it is;
// an object stands for itself, it takes nothing from the general one.
func (c *cfg) mlxQuantization() *model.Quantization {
	all, ok := c.mlxParameters(c.obj, "")
	if !ok {
		return nil
	}
	q := &model.Quantization{Method: "mlx", Bits: all.Bits, GroupSize: all.GroupSize}
	if all.Mode != "affine" {
		q.Method = "mlx-" + all.Mode
	}
	for path, v := range c.obj {
		switch o := v.(type) {
		case map[string]any:
			if o["bits"] == nil && o["group_size"] == nil && o["mode"] == nil {
				continue // no module
			}
			one, ok := c.mlxParameters(o, path)
			if !ok {
				return nil
			}
			if q.Overrides == nil {
				q.Overrides = map[string]model.Override{}
			}
			q.Overrides[path] = one
		case bool:
			if !o {
				q.Exclude = append(q.Exclude, path)
			}
		}
	}
	slices.Sort(q.Exclude)
	c.note("quantization", describe(q), "config.json:"+strings.TrimSuffix(c.path, "."))
	return q
}

// mlxParameters reads one set of parameters. Bits and groups that MLX cannot
// store are a failure: the size would be a guess.
func (c *cfg) mlxParameters(o map[string]any, path string) (model.Override, bool) {
	mode, _ := o["mode"].(string)
	if mode = strings.ToLower(mode); mode == "" {
		mode = "affine"
	}
	x, known := mlxDefaults[mode]
	if v := o["group_size"]; v != nil {
		x.GroupSize = int64(c.quiet(v))
	}
	if v := o["bits"]; v != nil {
		x.Bits = int64(c.quiet(v))
	}
	affine := mode == "affine" && slices.Contains([]int64{2, 3, 4, 5, 6, 8}, x.Bits) && slices.Contains([]int64{32, 64, 128}, x.GroupSize)
	if !known || !affine && x != mlxDefaults[mode] {
		c.fail(model.UnsupportedArchitecture, path, "MLX has no quantization of mode %.20q with %d bits in groups of %d", mode, x.Bits, x.GroupSize)
		return x, false
	}
	return x, true
}
