//go:build !linux || !cgo

package probe

import "context"

// nvmlSource says that this build cannot load NVIDIA's library: nvidia-smi is
// asked instead.
func nvmlSource() Source {
	return Source{Name: "nvml", OS: []string{"linux"}, Read: func(context.Context, *System) Reading {
		return absent("this build has no cgo, with which NVIDIA's library is called; nvidia-smi is asked instead", "")
	}}
}
