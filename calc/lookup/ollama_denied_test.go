//go:build unix

package lookup

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"hwledger/calc/model"
)

// The service's store cannot be read by other users. Root can read all, so the
// test runs itself again as nobody.
func TestOllamaDenied(t *testing.T) {
	const again = "HWLEDGER_TEST_DENIED"
	if os.Getenv(again) == "" {
		s := newOllamaDir(t)
		f, _, _ := reported(t)
		s.add(small, s.gguf("model", f))
		private := filepath.Join(s.dir, "manifests")
		if err := os.Chmod(private, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(private, 0o755) })
		if os.Geteuid() == 0 && runtime.GOOS == "linux" {
			asNobody(t, s.dir, again)
			return
		}
	}
	if _, err := resolve("ollama:small:8b"); code(err) != model.Denied || !strings.Contains(err.Error(), "no Ollama answers") {
		t.Error(err)
	}
	if _, err := listOllama(t.Context()); code(err) != model.Denied {
		t.Error(err)
	}
}

func asNobody(t *testing.T, dir, again string) {
	t.Helper()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), again+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
