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
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"hwledger/calc/model"
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
	Uv  string
	Log *slog.Logger
}

// makeWithin bounds the making of an environment, which downloads.
const makeWithin = 30 * time.Minute

// Find returns the Python and the script of an engine's helper. The
// environment is made with uv when it is not there, once for each content of
// its requirements. It returns EngineNotInstalled when that cannot be done.
func (s Setup) Find(engine string) (python, script string, err error) {
	h, ok := scripts[engine]
	if !ok {
		return "", "", model.Errorf(model.InvalidArgument, "program", "%s has no helper", engine)
	}
	dir, err := s.write()
	if err != nil {
		return "", "", err
	}
	if h.requirements == "" {
		python, err = exec.LookPath("python3")
		if err != nil {
			return "", "", model.Errorf(model.EngineNotInstalled, "program", "%s needs python3", engine).WithHint("install Python 3")
		}
		return python, filepath.Join(dir, h.script), nil
	}
	python, err = s.environment(dir, h.requirements)
	return python, filepath.Join(dir, h.script), err
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

// environment returns the Python of the environment for the requirements.
func (s Setup) environment(dir, requirements string) (string, error) {
	b, err := Files.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	venv := filepath.Join(s.Dir, strings.TrimSuffix(requirements, ".txt")+"-"+hex.EncodeToString(sum[:])[:16])
	python := filepath.Join(venv, "bin", "python")
	if runtime.GOOS == "windows" {
		python = filepath.Join(venv, "Scripts", "python.exe")
	}
	done := filepath.Join(venv, "complete")
	if _, err := os.Stat(done); err == nil {
		return python, nil
	}
	uv := s.Uv
	if uv == "" {
		if uv, err = exec.LookPath("uv"); err != nil {
			return "", model.Errorf(model.EngineNotInstalled, "program", "the environment of this helper is made with uv, which is not installed").
				WithHint("install uv, or make %s by hand with the requirements in %s", venv, filepath.Join(dir, requirements))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), makeWithin)
	defer cancel()
	for _, args := range [][]string{
		{"venv", "--python", "3.12", venv},
		{"pip", "install", "--python", python, "--requirement", filepath.Join(dir, requirements)},
	} {
		cmd := exec.CommandContext(ctx, uv, args...)
		cmd.WaitDelay = time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			s.Log.Error("making the environment of a helper", "command", args[0], "error", err, "output", string(out[max(0, len(out)-4096):]))
			return "", model.Errorf(model.EngineNotInstalled, "program", "uv %s failed", args[0]).WithHint("the server's log on stderr has its output")
		}
	}
	return python, os.WriteFile(done, nil, 0o600)
}
