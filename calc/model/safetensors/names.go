package safetensors

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// place is where a stored tensor belongs: which part of the model, which
// layer, which module there, and which of the module's tensors.
type place struct {
	group  model.Group
	layer  int    // -1 outside the layers
	module string // within the layer or the model: "self_attn.q_proj"
	kind   string // "weight" or "bias"
	// companion marks scales, zero points and other data that a quantization
	// scheme stores beside the weight.
	companion bool
}

// quantEndings are what quantization schemes add to a module's name. Main data
// comes first, companions after.
var mainEndings = []string{".qweight", ".weight_packed", "_blocks", ".q_weight", ".trellis", ".W_q", ".codes"}

var companionEndings = []string{
	".weight_scale_inv", ".weight_scale_2", ".weight_scale", ".weight_global_scale", ".weight_zero_point", ".weight_shape", ".weight_g_idx",
	".input_scale", ".input_global_scale", ".input_zero_point", ".output_scale", ".input_amax", ".pre_quant_scale",
	".k_scale", ".v_scale", ".q_scale", ".qzeros", ".scales", ".g_idx", ".zeros", ".biases", ".scale_inv",
	".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map", ".weight.quant_state.bitsandbytes__nf4",
	".weight.quant_state.bitsandbytes__fp4", ".SCB", ".weight_format", ".qscales", ".q_scale_max", ".q_groups", ".q_perm", ".q_invperm",
	".suh", ".svh", ".su", ".sv", ".mcg", ".mul1", ".codebooks", "_scale_inv", "_weight_scale", "_weight_scale_2", "_input_scale", "_scales", ".scale",
}

// locate reads a checkpoint's tensor name.
func locate(name string, layers int) place {
	p := place{layer: -1, kind: "weight"}
	p.group = groupOf(name)
	module, n := cutLayer(name)
	p.layer = n
	if p.group == model.Text && n >= layers && layers > 0 {
		p.group = model.MTP
	}
	module, p.kind, p.companion = cutKind(module)
	p.module = cutExpert(module)
	return p
}

// groupOf says which part of the model a name belongs to, by the module that
// it is under.
func groupOf(name string) model.Group {
	for _, g := range [...]struct {
		part  string
		group model.Group
	}{
		{"vision", model.Vision}, {"visual", model.Vision}, {"image_", model.Vision}, {"multi_modal_projector", model.Vision},
		{"mm_projector", model.Vision}, {"mlp1.", model.Vision}, {"patch_merger", model.Vision}, {"aligner.", model.Vision}, {"gen_", model.Vision},
		{"audio", model.Audio}, {"speech", model.Audio},
	} {
		if i := strings.Index(name, g.part); i >= 0 && (i == 0 || name[i-1] == '.' || name[i-1] == '_') {
			return g.group
		}
	}
	for _, part := range [...]string{".mtp.", "mtp_layers.", "mtp_block.", "nextn"} {
		if strings.HasPrefix(name, "mtp.") || strings.Contains(name, part) {
			return model.MTP
		}
	}
	switch {
	case strings.HasPrefix(name, "encoder."), strings.HasPrefix(name, "model.encoder."):
		return model.Encoder
	}
	return model.Text
}

// cutLayer takes "…layers.7." off the front of a name.
func cutLayer(name string) (rest string, layer int) {
	for _, key := range [...]string{"layers.", "blocks.", "block.", "h.", "layer."} {
		i := strings.Index(name, key)
		if i < 0 || i > 0 && name[i-1] != '.' && name[i-1] != '_' {
			continue
		}
		digits := name[i+len(key):]
		if dot := strings.IndexByte(digits, '.'); dot > 0 {
			if n, err := strconv.ParseUint(digits[:dot], 10, 20); err == nil {
				return digits[dot+1:], int(n)
			}
		}
	}
	for _, prefix := range [...]string{"model.language_model.", "language_model.model.", "model.decoder.", "language_model.", "transformer.", "model.", "backbone.", "gpt_neox.", "decoder.", "mtp."} {
		if s, ok := strings.CutPrefix(name, prefix); ok {
			return s, -1
		}
	}
	return name, -1
}

// cutKind splits a name into its module and what of the module it is.
func cutKind(name string) (module, kind string, companion bool) {
	for _, end := range mainEndings {
		if m, ok := strings.CutSuffix(name, end); ok {
			return m, "weight", false
		}
	}
	for _, end := range companionEndings {
		if m, ok := strings.CutSuffix(name, end); ok && m != "" {
			return m, "weight", true
		}
	}
	if m, ok := strings.CutSuffix(name, ".weight"); ok {
		return m, "weight", false
	}
	if m, ok := strings.CutSuffix(name, ".bias"); ok {
		return m, "bias", false
	}
	if m, ok := strings.CutSuffix(name, "_bias"); ok && strings.Contains(name, "experts") {
		return m, "bias", false
	}
	return name, "weight", false
}

// cutExpert takes an expert's number out: "mlp.experts.7.up_proj" becomes
// "mlp.experts.up_proj".
func cutExpert(module string) string {
	const key = "experts."
	i := strings.Index(module, key)
	if i < 0 {
		return module
	}
	digits := module[i+len(key):]
	dot := strings.IndexByte(digits, '.')
	if dot < 0 {
		return module
	}
	if _, err := strconv.ParseUint(digits[:dot], 10, 20); err != nil {
		return module
	}
	return module[:i+len(key)] + digits[dot+1:]
}
