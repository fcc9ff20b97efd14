// Package helpers has the reference helpers: Python scripts that speak the
// protocol of package protocol, one around llama-server, one around MLX and
// transformers, and the environment that the latter runs in.
package helpers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"hwledger/calc/model"
	"hwledger/sidecar"
)

// Files are the scripts and the pinned requirements.
//
//go:embed *.py *.txt
var Files embed.FS

// scripts are the helpers' files by engine; those with requirements run in an
// environment of their own.
var scripts = map[string]struct{ script, requirements string }{
	"llama-bridge":        {"llama_helper.py", ""},
	"mlx-bridge":          {"lm_helper.py", "mlx.txt"},
	"transformers-bridge": {"lm_helper.py", "transformers.txt"},
}

// Setup puts the helpers where they can be run.
type Setup struct {
	// Dir takes the scripts and the environments.
	Dir string
	// Uv is the program of that name, found in PATH when empty.
	Uv string
	// Pythons are those that run the helpers of engines instead, and have what
	// they need.
	Pythons map[string]string
}

// makeWithin bounds the making of an environment, which downloads.
const makeWithin = 30 * time.Minute

// Find returns how an engine's helper is run. Nothing is downloaded: where its
// environment is not made yet, Prepare makes it with uv, once for each content
// of its requirements. It returns EngineNotInstalled when that cannot be done.
func (s Setup) Find(engine string) (*sidecar.Helper, error) {
	h, ok := scripts[engine]
	if !ok {
		return nil, model.Errorf(model.InvalidArgument, "program", "%s has no helper", engine)
	}
	dir, err := s.write()
	if err != nil {
		return nil, err
	}
	out := &sidecar.Helper{Script: filepath.Join(dir, h.script), Python: s.Pythons[engine]}
	if out.Python != "" {
		if _, err := exec.LookPath(out.Python); err != nil {
			return nil, model.Errorf(model.EngineNotInstalled, "program", "%s, which is to run %s, cannot be run", out.Python, engine).WithHint("name a Python to the server with --engine-path %s=FILE", engine)
		}
		return out, nil
	}
	if h.requirements == "" {
		if out.Python, err = exec.LookPath("python3"); err != nil {
			return nil, model.Errorf(model.EngineNotInstalled, "program", "%s needs python3", engine).WithHint("install Python 3")
		}
		return out, nil
	}
	return out, s.environment(out, dir, h.requirements)
}

// write puts the files into a folder that is named by what they say.
func (s Setup) write() (string, error) {
	sum := sha256.New()
	names, err := fs.Glob(Files, "*")
	if err != nil {
		return "", err
	}
	texts := map[string][]byte{}
	for _, n := range names {
		if texts[n], err = Files.ReadFile(n); err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", n, len(texts[n]), texts[n])
	}
	dir := filepath.Join(s.Dir, hex.EncodeToString(sum.Sum(nil))[:16])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("writing the helpers: %w", err)
	}
	for n, b := range texts {
		path := filepath.Join(dir, n)
		if old, err := os.ReadFile(path); err == nil && string(old) == string(b) {
			continue
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return "", fmt.Errorf("writing the helpers: %w", err)
		}
	}
	return dir, nil
}

// environment fills in the Python of the environment for the requirements, and
// how to make it when it is not there.
func (s Setup) environment(h *sidecar.Helper, dir, requirements string) error {
	b, err := Files.ReadFile(requirements)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	e := environment{
		venv: filepath.Join(s.Dir, strings.TrimSuffix(requirements, ".txt")+"-"+hex.EncodeToString(sum[:])[:16]), requirements: filepath.Join(dir, requirements), uv: s.Uv,
	}
	h.Python = e.python()
	if e.complete() {
		return nil
	}
	if e.uv == "" {
		if e.uv, err = exec.LookPath("uv"); err != nil {
			return model.Errorf(model.EngineNotInstalled, "program", "the environment of this helper is made with uv, which is not installed").
				WithHint("install uv, or name a Python that has them to the server with --engine-path ENGINE=FILE: %s lists them", e.requirements)
		}
	}
	h.Prepare = e.make
	return nil
}

// environment is a Python environment with what a file requires.
type environment struct{ venv, requirements, uv string }

func (e environment) python() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(e.venv, "Scripts", "python.exe")
	}
	return filepath.Join(e.venv, "bin", "python")
}

// mark is the file that says that the environment is whole.
func (e environment) mark() string { return filepath.Join(e.venv, "complete") }

func (e environment) complete() bool {
	_, err := os.Stat(e.mark())
	return err == nil
}

// make makes the environment, one maker at a time. What an earlier one left
// unfinished is removed.
func (e environment) make(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, makeWithin)
	defer cancel()
	lock := flock.New(e.venv + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return fmt.Errorf("waiting for another maker of the environment: %w", err)
	}
	defer lock.Unlock()
	if e.complete() {
		return nil
	}
	if err := os.RemoveAll(e.venv); err != nil {
		return fmt.Errorf("removing an unfinished environment: %w", err)
	}
	for _, args := range [][]string{
		{"venv", "--no-progress", "--python", "3.12", e.venv},
		{"pip", "install", "--no-progress", "--python", e.python(), "--requirement", e.requirements},
	} {
		cmd := exec.CommandContext(ctx, e.uv, args...)
		cmd.WaitDelay = time.Second
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("making its environment: uv %s: %w", args[0], err)
		}
	}
	return os.WriteFile(e.mark(), nil, 0o600)
}
