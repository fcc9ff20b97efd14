package vllm

import "hwledger/calc/model"

// neverRun are encoder-decoders that no release of vLLM had; those of V0 (BART
// and mBART) went with it. (model_executor/models/registry.py)
var neverRun = map[string]bool{"t5": true, "mt5": true, "umt5": true, "m2m_100": true, "nllb": true, "marian": true, "pegasus": true}

// sensors are encoders of images or sound without a text model, which vLLM has
// no pooling class for.
var sensors = map[string]bool{"vit": true, "dinov2": true, "wav2vec2": true, "hubert": true}

// Supports refuses the models that the release of vLLM has no class for, ""
// being the newest. Text encoders without a class of their own run through
// its transformers backend.
func Supports(m *model.Model, release string) error {
	v, _ := parseVersion(release)
	old := m.Type == "bart" || m.Type == "mbart"
	switch {
	case neverRun[m.Type]:
		return unsupported("vLLM has no class for %s, an encoder-decoder", m.Type)
	case old && v.atLeast(v0Removed):
		return unsupported("vLLM has no class for %s since it gave up its V0 engine (0.11)", m.Type)
	case sensors[m.Type]:
		return unsupported("vLLM has no class for %s, an encoder without text", m.Type)
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return model.Errorf(model.UnsupportedArchitecture, "model_type", format, args...).
		WithHint("use engine \"ideal\", which gives weights and cache without an engine's overhead")
}
