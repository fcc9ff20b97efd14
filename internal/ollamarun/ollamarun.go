//go:build unix

// Package ollamarun runs a real Ollama for tests, on a store and a port of its
// own.
package ollamarun

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is the real ollama that .ci/ollama built. Without one the test is
// skipped, in CI it fails.
func Program(t testing.TB) string {
	t.Helper()
	path := os.Getenv("HWLEDGER_OLLAMA")
	if path == "" && os.Getenv("CI") != "" {
		t.Fatal("HWLEDGER_OLLAMA names no ollama; .ci/ollama builds one")
	}
	if path == "" {
		t.Skip("HWLEDGER_OLLAMA names no ollama; .ci/ollama builds one")
	}
	return path
}

// Server is an "ollama serve" that runs until the end of the test.
type Server struct {
	t testing.TB
	// URL is its address, Store the folder of its models.
	URL, Store string

	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	log   bytes.Buffer
}

var listening = regexp.MustCompile(`Listening on (\S+:\d+) \(version`)

// Start starts a server with the variables beside its own.
func Start(t testing.TB, env ...string) *Server {
	t.Helper()
	program, home := Program(t), t.TempDir()
	s := &Server{t: t, Store: filepath.Join(home, "models"), ended: make(chan struct{})}
	s.cmd = exec.Command(program, "serve")
	s.cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "OLLAMA_MODELS=" + s.Store, "OLLAMA_HOST=127.0.0.1:0"}, env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	address := make(chan string, 1)
	go s.read(out, address)
	select {
	case a := <-address:
		s.URL = "http://" + a
	case <-s.ended:
		t.Fatalf("ollama serve ended:\n%s", s.Log())
	case <-time.After(time.Minute):
		t.Fatalf("ollama serve does not listen:\n%s", s.Log())
	}
	return s
}

// read keeps what it prints, and tells its address once.
func (s *Server) read(out io.Reader, address chan<- string) {
	defer close(s.ended)
	r := bufio.NewReader(out)
	for told := false; ; {
		line, err := r.ReadString('\n')
		s.mu.Lock()
		s.log.WriteString(line)
		s.mu.Unlock()
		if m := listening.FindStringSubmatch(line); m != nil && !told {
			told = true
			address <- m[1]
		}
		if err != nil {
			return
		}
	}
}

// Stop ends the server and its runners.
func (s *Server) Stop() {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // what is left of its group
	_ = s.cmd.Wait()                                      // it was killed
}

// Log is what it has printed.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Starts counts the runners that it has started for models.
func (s *Server) Starts() int { return strings.Count(s.Log(), `msg="starting runner" cmd="`) }

// Ask sends in, unless nil, and reads the answer into out, unless nil.
func (s *Server) Ask(method, path string, in, out any) {
	s.t.Helper()
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(in)
	default:
		b, err := json.Marshal(in)
		if err != nil {
			s.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s: %v: status %d: %s", path, err, resp.StatusCode, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			s.t.Fatalf("%s: %v: %s", path, err, b)
		}
	}
}

// Create makes a model of a GGUF file and returns the path of its blob.
func (s *Server) Create(name string, file []byte) string {
	s.t.Helper()
	sum := sha256.Sum256(file)
	digest := hex.EncodeToString(sum[:])
	s.Ask(http.MethodPost, "/api/blobs/sha256:"+digest, file, nil)
	s.Ask(http.MethodPost, "/api/create", map[string]any{"model": name, "files": map[string]string{name + ".gguf": "sha256:" + digest}, "stream": false}, nil)
	return filepath.Join(s.Store, "blobs", "sha256-"+digest)
}

// Held is an entry of /api/ps.
type Held struct {
	Name    string    `json:"name"`
	Model   string    `json:"model"`
	Size    int64     `json:"size"`
	VRAM    int64     `json:"size_vram"`
	Context int64     `json:"context_length"`
	Expires time.Time `json:"expires_at"`
}

// Held lists the models that it has loaded.
func (s *Server) Held() []Held {
	s.t.Helper()
	var out struct{ Models []Held }
	s.Ask(http.MethodGet, "/api/ps", nil, &out)
	return out.Models
}

// Version is its release.
func (s *Server) Version() string {
	s.t.Helper()
	var out struct{ Version string }
	s.Ask(http.MethodGet, "/api/version", nil, &out)
	return out.Version
}

// Load loads a model as a client would.
func (s *Server) Load(name string, context int64, keep string) {
	s.t.Helper()
	s.Ask(http.MethodPost, "/api/generate", map[string]any{"model": name, "stream": false, "keep_alive": keep, "options": map[string]any{"num_ctx": context}}, nil)
}
