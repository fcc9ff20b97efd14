package model

// Stored is how a scheme stores one tensor.
type Stored struct {
	// Type names the stored type: a GGUF type ("Q4_K"), a safetensors type
	// ("BF16", "F8_E4M3") or the scheme's own ("INT4-G128").
	Type string
	// Bytes is the size with scales, zeros and padding of blocks.
	Bytes int64
	// Quantized is false for tensors kept in a plain type.
	Quantized bool
	// Halves are set when the scheme stores the tensor as two, as GGUF does
	// with MLA's attn_kv_b. Their bytes are Bytes together.
	Halves *[2]Stored
}

// Bits returns the bits for each of elems parameters, scales included.
func (s *Stored) Bits(elems int64) float64 {
	if elems <= 0 {
		return 0
	}
	return 8 * float64(s.Bytes) / float64(elems)
}
