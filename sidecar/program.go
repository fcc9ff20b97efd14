package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"hwledger/calc/model"
)

// Program is an engine's program as it is installed.
type Program struct {
	Path string `json:"path"`
	// Version is "" when it does not say.
	Version string `json:"version,omitempty"`
	// Options are those that its help lists, nil when it has none to read.
	Options map[string]bool `json:"options,omitempty"`
}

// Programs finds programs and what they accept. What a program prints is read
// once for each content of its file, and kept in a folder. The file of a script
// stays the same when what it runs is updated: what it prints is kept for
// minutes, and in memory only.
type Programs struct {
	// Dir keeps what was read, "" keeps it in memory only.
	Dir string
	// Paths are the files of engines by adapter, before PATH is searched.
	Paths map[string]string

	mu    sync.Mutex
	known map[string]known // by hash
}

// known is a program, and when it was asked.
type known struct {
	*Program
	at time.Time
}

// Limits on asking a program what it is.
const (
	askWithin  = 60 * time.Second // Python programs import for long
	maxHelp    = 4 << 20
	maxProgram = 1 << 30
)

// Find returns the program of an engine. It returns EngineNotInstalled when
// there is none.
func (p *Programs) Find(ctx context.Context, e *Engine) (*Program, error) {
	path, err := p.path(e)
	if err != nil {
		return nil, err
	}
	hash, script, err := hashFile(path)
	if err != nil {
		return nil, err
	}
	script = script || len(e.Lead) > 0 // an interpreter
	hash += "-" + e.Name
	p.mu.Lock()
	defer p.mu.Unlock()
	if k, there := p.known[hash]; there && k.Path == path && (!script || time.Since(k.at) < scriptFor) {
		return k.Program, nil
	}
	var found *Program
	if !script {
		found = p.load(hash)
	}
	if found == nil || found.Path != path {
		if found, err = ask(ctx, e, path); err != nil {
			return nil, err
		}
		if !script {
			p.store(hash, found)
		}
	}
	if p.known == nil {
		p.known = map[string]known{}
	}
	p.known[hash] = known{found, time.Now()}
	return found, nil
}

// scriptFor is how long a script's options are taken for unchanged.
const scriptFor = 10 * time.Minute

// path returns the file of an engine's program.
func (p *Programs) path(e *Engine) (string, error) {
	names := e.Programs
	if given := p.Paths[e.Name]; given != "" {
		names = []string{given}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path, noShell(e, path)
			}
		}
	}
	return "", model.Errorf(model.EngineNotInstalled, "engine", "%s is not installed: there is no %s", e.Name, strings.Join(names, ", ")).
		WithHint("install it, or name its file to the server with --engine-path %s=FILE", e.Name)
}

// noShell refuses a batch file: Windows hands its arguments to a shell.
func noShell(e *Engine, path string) error {
	if ext := strings.ToLower(filepath.Ext(path)); runtime.GOOS == "windows" && (ext == ".bat" || ext == ".cmd") {
		return model.Errorf(model.EngineNotInstalled, "engine", "%s is a batch file, whose arguments a shell reads", path).
			WithHint("name the program that it starts to the server with --engine-path %s=FILE", e.Name)
	}
	return nil
}

// hashFile returns the hash of a program's file, and whether it is a script.
func hashFile(path string) (hash string, script bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", false, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	in := bufio.NewReader(io.LimitReader(f, maxProgram))
	mark, _ := in.Peek(2) // an empty file is no script
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return "", false, fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), string(mark) == "#!", nil
}

func (p *Programs) load(hash string) *Program {
	if p.Dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(p.Dir, hash+".json"))
	var out Program
	if err != nil || len(b) > maxHelp || json.Unmarshal(b, &out) != nil {
		return nil
	}
	return &out
}

func (p *Programs) store(hash string, found *Program) {
	if p.Dir == "" {
		return
	}
	if b, err := json.Marshal(found); err == nil && os.MkdirAll(p.Dir, 0o700) == nil {
		_ = os.WriteFile(filepath.Join(p.Dir, hash+".json"), b, 0o600) // it is asked again otherwise
	}
}

// ask runs the program for its version and its help.
func ask(ctx context.Context, e *Engine, path string) (*Program, error) {
	out := &Program{Path: path}
	if len(e.VersionArgs) > 0 && e.Version != nil {
		text, err := output(ctx, path, e.VersionArgs)
		if err != nil {
			return nil, model.Errorf(model.EngineNotInstalled, "engine", "%s does not run: %s", path, clip(err.Error())).WithHint("start it by hand to see why")
		}
		if m := e.Version.FindStringSubmatch(text); m != nil {
			out.Version = m[1]
		}
	}
	for _, args := range e.HelpArgs {
		text, err := output(ctx, path, args)
		if err != nil {
			return nil, model.Errorf(model.EngineNotInstalled, "engine", "%s does not print its options: %s", path, clip(err.Error())).WithHint("start it by hand to see why")
		}
		if options := parseHelp(text); len(options) > len(out.Options) {
			out.Options = options
		}
		if len(out.Options) >= fewOptions {
			break
		}
	}
	if len(e.HelpArgs) > 0 && len(out.Options) == 0 {
		return nil, model.Errorf(model.EngineNotInstalled, "engine", "%s lists no options in its help", path).WithHint("start it by hand to see why")
	}
	return out, nil
}

// fewOptions are fewer than any server has.
const fewOptions = 10

// output is what a program prints, on both of its streams.
func output(ctx context.Context, path string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = inheritedEnv()
	cmd.WaitDelay = time.Second // what it started may hold its output open
	var b limited
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); err != nil && b.buf.Len() == 0 {
		return "", err
	}
	return b.buf.String(), nil
}

// limited keeps the first maxHelp bytes.
type limited struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p[:min(len(p), max(0, maxHelp-l.buf.Len()))])
	return len(p), nil
}

// helpHead is the beginning of a help's line that lists options and what they
// take, before their description; helpOption one of them.
var (
	helpHead   = Lazy(`^(?:--?[A-Za-z][\w.-]*(?:[ =]\S+)*[,/|]?\s*)+`)
	helpOption = Lazy(`(?:^|[\s,\[|/(])(--?[A-Za-z][\w.-]*)`)
)

// parseHelp returns the options that a help text lists: those in lines that
// begin with one, and in the usage of Python's argparse.
func parseHelp(text string) map[string]bool {
	out := map[string]bool{}
	usage := false
	for line := range strings.Lines(text) {
		head := strings.TrimSpace(line)
		switch {
		case head == "":
			usage = false
		case len(head) >= 6 && strings.EqualFold(head[:6], "usage:"):
			usage = true
		}
		if !usage {
			head = helpHead().FindString(head)
		}
		for _, m := range helpOption().FindAllStringSubmatch(head, -1) {
			out[strings.TrimRight(m[1], ".-")] = true
		}
	}
	return out
}
