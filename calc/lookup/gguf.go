package lookup

import (
	"context"

	"hwledger/calc/model"
)

// fromGGUF describes the model of a GGUF file.
func fromGGUF(_ context.Context, path string) (*Result, error) {
	return nil, model.Errorf(model.InvalidArgument, "model", "%s: GGUF files are not read yet", path)
}
