package lookup

// Component is a part of what a reference names: the projector of a
// multimodal model, a draft model, a LoRA adapter, the text encoder or the
// denoiser of a pipeline. Sizes come from its headers.
type Component struct {
	// Name is the part's own name: a file, a folder of a pipeline.
	Name string
	// Kind says what it does: projector, draft, adapter, denoiser,
	// text_encoder, image_encoder, vae, controlnet, safety_checker, other.
	Kind string
	// Class is the class that its configuration names, "" when none does.
	Class      string
	Parameters int64
	// Bytes is the size of its stored tensors, and ByDType the same by type.
	Bytes   int64
	ByDType map[string]int64
	Files   []File
}
