package probe

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
)

// Disk is where a folder of models is.
type Disk struct {
	// Role is what the folder is for: huggingface, ollama, lmstudio.
	Role string
	Path string
	// Total and Free are of its file system; Free is what a user can have.
	Total, Free Field[int64]
	FileSystem  Field[string]
	// Remote reports a file system whose bytes come over a network or from
	// another system, from which mapping a model is slow.
	Remote Field[bool]
}

// diskSource is apart from the host's: a file system on a server that is gone
// does not answer.
func diskSource() Source {
	return Source{Name: "disks", Every: time.Minute, Read: func(_ context.Context, sys *System) Reading {
		return Reading{State: OK, Disks: modelDisks(sys)}
	}}
}

// modelDisks describes the file systems of the folders that models are kept
// in; a folder that does not exist counts where it would be made.
func modelDisks(sys *System) []Disk {
	home := sys.Getenv("HOME")
	if home == "" {
		home = sys.Getenv("USERPROFILE")
	}
	first := func(vars []string, rest ...string) string {
		for _, v := range vars {
			if p := sys.Getenv(v); p != "" {
				return p
			}
		}
		if home == "" {
			return ""
		}
		return filepath.Join(append([]string{home}, rest...)...)
	}
	var out []Disk
	for _, f := range []struct{ role, path string }{
		{"huggingface", first([]string{"HF_HUB_CACHE", "HF_HOME"}, ".cache", "huggingface")},
		{"ollama", first([]string{"OLLAMA_MODELS"}, ".ollama", "models")},
		{"lmstudio", first(nil, ".lmstudio", "models")},
	} {
		if f.path != "" {
			out = append(out, diskOf(f.role, f.path))
		}
	}
	return out
}

// remote are file systems that are not on this machine's own disks, by the
// names that the kernel has for them.
var remote = []string{"nfs", "nfs4", "cifs", "smb2", "9p", "v9fs", "fuse", "fuseblk", "ceph", "lustre", "gpfs", "afs", "virtiofs"}

func diskOf(role, path string) Disk {
	d := Disk{Role: role, Path: path}
	at := path
	for {
		if _, err := os.Stat(at); err == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	u, err := disk.Usage(at)
	if err != nil {
		d.Total = missing[int64]("statfs", Unsupported, "the file system does not say its size")
		d.Free = missing[int64]("statfs", Unsupported, "the file system does not say what is free")
		return d
	}
	d.Total, d.Free = known("statfs", int64(min(u.Total, mostBytes))), known("statfs", int64(min(u.Free, mostBytes)))
	kind := strings.ToLower(u.Fstype)
	if kind == "" || strings.HasPrefix(kind, "0x") {
		d.FileSystem = missing[string]("statfs", Unsupported, "the file system has no known name")
		return d
	}
	if kind == "ext2/ext3" { // the number that all three have
		kind = "ext2/ext3/ext4"
	}
	d.FileSystem, d.Remote = known("statfs", kind), known("statfs", contains(remote, kind))
	return d
}
