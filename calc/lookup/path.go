package lookup

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// isPath reports whether ref is written as a path: absolute, beginning with
// ./ or ../, a file by its ending, or a name in the working directory that no
// other form could mean.
func isPath(ref string) bool {
	if networkPath(ref) {
		return true
	}
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

// networkPath reports whether ref names another machine, or a device, as
// Windows reads it: \\host\share. To look at one is to send that machine the
// user's credentials, whoever gave the reference.
func networkPath(ref string) bool {
	return runtime.GOOS == "windows" && len(ref) > 1 && os.IsPathSeparator(ref[0]) && os.IsPathSeparator(ref[1])
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
