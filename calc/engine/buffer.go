package engine

import "strings"

// HostBuffer reports whether a buffer type of ggml, as its logs name it, is
// ordinary memory: pinned memory and repacked weights included.
func HostBuffer(name string) bool {
	return strings.HasPrefix(name, "CPU") || strings.HasPrefix(name, "AMX") || strings.HasSuffix(name, "_Host")
}

// BufferVendor returns the vendor of a device by its buffer type, "" when the
// type does not tell.
func BufferVendor(buffer string) string {
	for _, v := range []struct{ prefix, vendor string }{
		{"CUDA", "nvidia"}, {"ROCm", "amd"}, {"HIP", "amd"}, {"Metal", "apple"}, {"MTL", "apple"}, {"SYCL", "intel"},
	} {
		if strings.HasPrefix(buffer, v.prefix) {
			return v.vendor
		}
	}
	return ""
}
