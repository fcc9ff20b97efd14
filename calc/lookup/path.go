package lookup

import (
	"os"
	"path/filepath"
	"strings"
)

// isPath reports whether ref is written as a path: absolute, beginning with
// ./ or ../, a file by its ending, or a name in the working directory that no
// other form could mean.
func isPath(ref string) bool {
	if strings.HasPrefix(ref, "catalog:") || strings.Contains(ref, "://") {
		return false
	}
	if filepath.IsAbs(ref) || ref == "." || ref == ".." || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") ||
		strings.HasPrefix(ref, `.\`) || strings.HasPrefix(ref, `..\`) {
		return true
	}
	low := strings.ToLower(ref)
	for _, end := range [...]string{".gguf", ".safetensors", ".json"} {
		if strings.HasSuffix(low, end) {
			return !strings.Contains(ref, ":") || exists(ref)
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
