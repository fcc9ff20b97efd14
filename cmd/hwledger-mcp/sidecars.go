package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"hwledger/ledger"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
	"hwledger/sidecar/helpers"
	"hwledger/tools"
)

// launching is what the command line says about sidecars.
type launching struct {
	allow bool
	roots []string
	paths map[string]string
}

// launchFlags add the switches of sidecars.
func launchFlags(f *flag.FlagSet) *launching {
	l := &launching{paths: map[string]string{}}
	f.BoolVar(&l.allow, "allow-launch", false, "offer the tools that launch, call and stop inference engines")
	f.Func("model-root", "`folder` that models may be launched from, beside the stores of Hugging Face, Ollama and LM Studio; more than once", func(v string) error {
		path, err := filepath.Abs(v)
		l.roots = append(l.roots, path)
		return err
	})
	f.Func("engine-path", "program of an engine as `NAME=FILE`, such as llama-server=/opt/llama/bin/llama-server, of a helper the Python that has its packages; more than once", func(v string) error {
		name, path, ok := strings.Cut(v, "=")
		if !ok || name == "" || path == "" {
			return fmt.Errorf("it is not NAME=FILE")
		}
		l.paths[name] = path
		return nil
	})
	return l
}

// dataDir is where the program keeps what has to stay: the ledger's folder is
// in it.
func dataDir(getenv func(string) string) (string, error) {
	dir, err := ledger.Home(getenv)
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Dir(dir))
}

// sidecars returns what the sidecar tools work with.
func (l *launching) sidecars(e *env, machine tools.Machine, log *slog.Logger) (*tools.Sidecars, error) {
	dir, err := dataDir(e.getenv)
	if err != nil {
		return nil, err
	}
	return &tools.Sidecars{
		Manager: sidecar.New(sidecar.Options{
			Dir:     filepath.Join(dir, "sidecars"),
			Engines: engines.All(engines.Config{OllamaURL: ollamaURL(e.getenv("OLLAMA_HOST"))}),
			Probe:   machine, Reader: tools.LogReader{}, Log: log,
			Recorder: recorder{&ledger.Runs{Open: e.ledger.ledger, Meter: machine.Energy, Power: machine.Power}},
		}),
		Local:    machine.Local,
		Programs: &sidecar.Programs{Dir: filepath.Join(dir, "programs"), Paths: l.paths},
		Roots:    append(stores(e.getenv, dir), l.roots...),
		Helper:   helpers.Setup{Dir: filepath.Join(dir, "helpers"), Pythons: l.paths}.Find,
	}, nil
}

// recorder keeps what happens to sidecars in the ledger.
type recorder struct{ runs *ledger.Runs }

// Record keeps one event.
func (r recorder) Record(ctx context.Context, e sidecar.Event) error {
	return r.runs.Record(ctx, ledger.RunEvent(e))
}

// stores are the folders that models are kept in by their own programs.
func stores(getenv func(string) string, data string) []string {
	out := []string{filepath.Join(data, "models")}
	home, err := os.UserHomeDir()
	if err != nil {
		return out
	}
	hub := getenv("HF_HUB_CACHE")
	if base := getenv("HF_HOME"); hub == "" && base != "" {
		hub = filepath.Join(base, "hub")
	}
	if hub == "" {
		hub = filepath.Join(home, ".cache", "huggingface", "hub")
	}
	out = append(out, hub, filepath.Join(home, ".lmstudio", "models"), filepath.Join(home, ".cache", "lm-studio", "models"))
	if ollama := strings.Trim(strings.TrimSpace(getenv("OLLAMA_MODELS")), `"'`); ollama != "" {
		return append(out, ollama)
	}
	out = append(out, filepath.Join(home, ".ollama", "models"))
	if runtime.GOOS == "linux" { // of the service that its installer sets up
		out = append(out, "/usr/share/ollama/.ollama/models")
	}
	return out
}

// ollamaURL is the address that OLLAMA_HOST means to Ollama's own client, ""
// for its default.
func ollamaURL(host string) string {
	switch {
	case host == "", strings.Contains(host, "://"):
		return host
	case !strings.Contains(host, ":"):
		host += ":11434"
	}
	if strings.HasPrefix(host, "0.0.0.0:") {
		host = "127.0.0.1" + strings.TrimPrefix(host, "0.0.0.0")
	}
	return "http://" + host
}

// withSidecars adds the sidecars to opts. The function that it returns ends
// them, and has to be called.
func (l *launching) withSidecars(e *env, opts *tools.Options) (func(), error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if opts.Machine == nil {
		opts.Machine = tools.ThisMachine()
	}
	s, err := l.sidecars(e, tools.Machine{Sampler: opts.Machine}, log)
	if err != nil {
		return nil, err
	}
	opts.AllowLaunch, opts.Sidecars = l.allow, s
	return func() {
		if err := s.Manager.Close(); err != nil {
			log.Error("ending the sidecars", "error", err)
		}
	}, nil
}
