package model

import "strings"

// Role says what a description is of when it is not a model that runs on its
// own: the zero Role is a language model or an encoder.
type Role string

// The roles.
const (
	// RolePipeline is a diffusion pipeline: several networks, of which none
	// keeps anything between tokens.
	RolePipeline Role = "diffusion pipeline"
	// RoleProjector is an image or audio tower in a file of its own.
	RoleProjector Role = "projector"
	// RoleAdapter is an adapter (LoRA) whose base model is not known.
	RoleAdapter Role = "adapter"
	// RoleDraft is a draft model of speculative decoding. Its layers, where
	// they are known, keep a cache of their own.
	RoleDraft Role = "draft model"
)

// Component returns the part of a pipeline that t belongs to, the first folder
// of its name; "" for the tensors of other models.
func (t *Tensor) Component() string {
	if t.Group != Pipeline {
		return ""
	}
	part, _, _ := strings.Cut(t.Name, "/")
	return part
}
