package sidecar_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"hwledger/sidecar"
	"hwledger/sidecar/protocol"
)

// modeEnv makes the test binary a child of the kind that it names.
const modeEnv = "FAKE_ENGINE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeEnv); mode != "" {
		os.Exit(fake(mode))
	}
	os.Exit(m.Run())
}

// argument returns the value after an option of the command line.
func argument(name string) string {
	if i := slices.Index(os.Args, name); i >= 0 && i+1 < len(os.Args) {
		return os.Args[i+1]
	}
	return ""
}

// fake is an engine that behaves as its mode says.
func fake(mode string) int {
	signal.Ignore(syscall.SIGPIPE) // one that outlives its supervisor may still have to print
	fmt.Println("fake engine version: 1.2.3")
	if text, err := os.ReadFile(argument("--config")); err == nil {
		key := strings.TrimSpace(strings.TrimPrefix(string(text), "api-key: "))
		os.Setenv("FAKE_KEY", key)
		fmt.Println("settings:", string(text), strings.Contains(strings.Join(os.Args, " "), key))
	}
	switch mode {
	case "crash":
		fmt.Println("loading the model")
		fmt.Fprintln(os.Stderr, "fatal error: no luck")
		return 3
	case "out-of-memory":
		fmt.Println("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory")
		fmt.Println("llama_model_load: error loading model: unable to allocate CUDA0 buffer")
		return 1
	case "bound":
		fmt.Println("start: couldn't bind HTTP server socket, hostname: 127.0.0.1")
		return 1
	case "hang":
		stay()
	case "late":
		await(os.Getenv("GATE"))
	case "stubborn":
		signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	case "grandchildren":
		again("hang", false)
		again("hang", true)
	case "flood":
		go flood()
	case "silent":
		os.Stdout.Close()
		os.Stderr.Close()
	case "stranger": // another process, of another group, answers on its port
		again("serve", true)
		stay()
	case "keyless":
		os.Unsetenv("FAKE_KEY")
	case "other-key":
		os.Setenv("FAKE_KEY", "another")
	case "helper":
		protocol.Serve(context.Background(), os.Stdin, os.Stdout, &backend{})
		return 0
	case "old-helper":
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // what it is asked does not matter
		fmt.Println(`{"jsonrpc":"2.0","id":0,"result":{"protocol_version":"0","name":"old"}}`)
		stay()
	case "mute-helper":
		stay()
	case "supervisor":
		return supervisor()
	}
	return serveFake()
}

// stay waits to be killed.
func stay() {
	for {
		time.Sleep(time.Hour)
	}
}

// await returns when the file exists.
func await(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(time.Millisecond) // in a child that nothing else can tell
	}
}

// again starts this program once more; in a session of its own when asked.
func again(mode string, session bool) {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), modeEnv+"="+mode)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if session {
		cmd.SysProcAttr = apart()
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fmt.Println("started", cmd.Process.Pid)
}

func flood() {
	line := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for {
		if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
			return
		}
	}
}

// serveFake serves the part of the OpenAI API that is used, until SIGTERM.
func serveFake() int {
	var l net.Listener
	var err error
	if path := argument("--uds"); path != "" {
		l, err = net.Listen("unix", path)
	} else {
		l, err = net.Listen("tcp", "127.0.0.1:"+argument("--port"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error while attempting to bind on address: address already in use")
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	guarded := func(path string, h http.HandlerFunc) {
		public := path == "/v1/models" && os.Getenv(modeEnv) == "other-key"
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if key := os.Getenv("FAKE_KEY"); key != "" && !public && r.Header.Get("Authorization") != "Bearer "+key {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h(w, r)
		})
	}
	guarded("/v1/models", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[{"id":"fake"}]}`) })
	guarded("/v1/completions", complete)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { _ = http.Serve(l, mux) }()
	for range signals {
		if os.Getenv(modeEnv) != "stubborn" {
			break
		}
	}
	return 0
}

// complete answers with the words of the prompt, or as a prompt asks.
func complete(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Prompt string `json:"prompt"`
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch q.Prompt {
	case "crash":
		fmt.Println("GGML_ASSERT(false) failed")
		os.Exit(9)
	case "refuse":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"message":"the prompt is too long"}}`)
		return
	case "hang":
		<-r.Context().Done()
		return
	}
	for _, word := range strings.SplitAfter(q.Prompt, " ") {
		fmt.Fprintf(w, "data: {\"choices\":[{\"text\":%q}]}\n\n", word)
	}
	fmt.Fprintf(w, "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n")
}

// backend is an engine behind the helper protocol.
type backend struct{}

func (backend) Initialize(context.Context, protocol.InitializeParams) (*protocol.InitializeResult, error) {
	fmt.Println("noise on standard output")
	return &protocol.InitializeResult{ProtocolVersion: protocol.Version, Name: "fake", Version: "1"}, nil
}

func (backend) Load(_ context.Context, p protocol.LoadParams, progress func(protocol.ProgressParams)) (*protocol.LoadResult, error) {
	switch p.Model {
	case "bad":
		return nil, &jsonrpc2.Error{Code: protocol.CodeBadModel, Message: "it is no model"}
	case "die":
		os.Exit(5)
	case "large":
		return nil, &jsonrpc2.Error{Code: protocol.CodeOutOfMemory, Message: "8 GiB are missing"}
	}
	progress(protocol.ProgressParams{Message: "layers", Done: 1, Total: 2})
	return &protocol.LoadResult{Model: p.Model}, nil
}

func (backend) Unload(context.Context) error { return nil }

func (backend) Memory(context.Context) (*protocol.MemoryResult, error) {
	return &protocol.MemoryResult{Buffers: []protocol.Buffer{{Kind: "weights", Bytes: 300}, {Kind: "kv_cache", Bytes: 50}, {Kind: "weights", Device: "gpu", Bytes: 700}}}, nil
}

func (backend) Generate(ctx context.Context, p protocol.GenerateParams, token func(string)) (*protocol.GenerateResult, error) {
	switch p.Prompt {
	case "hang":
		<-ctx.Done()
		return &protocol.GenerateResult{FinishReason: "cancelled"}, nil
	case "fail":
		return nil, errors.New("it went wrong")
	}
	for _, w := range strings.SplitAfter(p.Prompt, " ") {
		token(w)
	}
	return &protocol.GenerateResult{Text: p.Prompt, FinishReason: "stop", PromptTokens: 2, CompletionTokens: 3}, nil
}

// supervisor launches a sidecar with the lifetime of $LIFETIME in $DIR, says
// who it is, and waits to be killed.
func supervisor() int {
	m := sidecar.New(sidecar.Options{Dir: os.Getenv("DIR"), Engines: fakeEngines()})
	st, err := m.Launch(context.Background(), spec(os.Getenv("CHILD"), sidecar.Lifetime(os.Getenv("LIFETIME"))))
	if err == nil {
		st, err = m.Wait(context.Background(), st.ID, nil)
	}
	if err != nil || st.State != sidecar.Ready {
		fmt.Println("failed", err, st)
		return 1
	}
	fmt.Println("ready", st.ID, st.PID)
	stay()
	return 0
}

// fakeEngines are the engines of the tests: with a port, with a socket, and a
// helper.
func fakeEngines() []*sidecar.Engine {
	return []*sidecar.Engine{
		{Name: "fake", Plans: "fake", HostFlag: "--host", PortFlag: "--port", KeyEnv: "FAKE_KEY", Health: "/health", Models: "/v1/models", Refused: []string{"--danger"}},
		{Name: "fake-socket", Plans: "fake", HostFlag: "--host", PortFlag: "--port", SocketFlag: "--uds", KeyEnv: "FAKE_KEY", Health: "/health", Models: "/v1/models"},
		{Name: "fake-helper", Plans: "fake", Talk: sidecar.Stdio},
		{Name: "fake-config", Plans: "fake", HostFlag: "--host", PortFlag: "--port", KeyOption: "--config", KeyText: "api-key: ", Health: "/health", Models: "/v1/models", Refused: []string{"--config"}},
	}
}

// spec runs this program in a mode.
func spec(mode string, lifetime sidecar.Lifetime) sidecar.Spec {
	program, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return sidecar.Spec{Engine: "fake", Model: "fake", Program: program, Env: map[string]string{modeEnv: mode}, Lifetime: lifetime}
}
