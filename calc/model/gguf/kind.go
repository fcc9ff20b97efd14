package gguf

// Kind is what a GGUF file holds.
type Kind uint8

// The kinds.
const (
	// KindModel is everything that is none of the others.
	KindModel Kind = iota
	// KindProjector is an image or audio tower (mmproj) beside a model.
	KindProjector
	// KindAdapter is a LoRA adapter.
	KindAdapter
	// KindDraft is a draft model that runs inside another one.
	KindDraft
	// KindIMatrix is an importance matrix for quantization.
	KindIMatrix
	// KindVocabulary is a file without tensors.
	KindVocabulary
)

// drafts are the architectures that llama.cpp runs only inside another model.
var drafts = map[string]bool{"eagle3": true, "dflash": true, "gemma4-assistant": true}

// Kind says what the file holds, by general.type and general.architecture.
func (h *Header) Kind() Kind {
	kind, arch := h.Text("general.type"), h.Architecture()
	switch {
	case arch == "clip" || kind == "mmproj":
		return KindProjector
	case kind == "adapter":
		return KindAdapter
	case kind == "imatrix" || arch == "imatrix":
		return KindIMatrix
	case len(h.Tensors) == 0:
		return KindVocabulary
	case drafts[arch]:
		return KindDraft
	}
	return KindModel
}
