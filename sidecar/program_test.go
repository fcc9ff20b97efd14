package sidecar

import (
	"os"
	"os/exec"
	"testing"
)

func TestParseHelp(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
		not  []string
	}{
		"llama.cpp": {"-t,    --threads N                      number of CPU threads (default: -1)\n" +
			"-kvo,  --kv-offload, -nkvo, --no-kv-offload\n                                        whether to offload, unlike --other\n" +
			"-fa,   --flash-attn [on|off|auto]       set Flash Attention use\n",
			[]string{"-t", "--threads", "-kvo", "-nkvo", "--no-kv-offload", "-fa", "--flash-attn"}, []string{"--other", "-1"}},
		"argparse": {"usage: launch_server.py [-h] --model-path MODEL_PATH [--host HOST]\n                        [--port PORT]\n\noptions:\n  --tp TP_SIZE, --tensor-parallel-size TP_SIZE\n                        The size, see --elsewhere.\n",
			[]string{"-h", "--model-path", "--host", "--port", "--tp", "--tensor-parallel-size"}, []string{"--elsewhere"}},
		"clap": {"Options:\n      --model-id <MODEL_ID>\n          The name of the model, as in --revision\n  -p, --port <PORT>\n          The port [env: PORT=] [default: 3000]\n",
			[]string{"--model-id", "-p", "--port"}, []string{"--revision"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseHelp(c.text)
			for _, o := range c.want {
				if !got[o] {
					t.Errorf("%s is missing in %v", o, got)
				}
			}
			for _, o := range c.not {
				if got[o] {
					t.Errorf("%s is no option", o)
				}
			}
		})
	}
}

// Every option that the real llama-server's help lists at the beginning of a
// line is one that it takes, and those that plans need are there.
func TestParseRealHelp(t *testing.T) {
	server := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if server == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	text, err := exec.Command(server, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	got := parseHelp(string(text))
	for _, o := range []string{"-m", "--host", "--port", "-c", "-np", "--kv-unified", "--no-kv-unified", "-b", "-ub", "-fa", "-ctk", "-ctv", "--swa-full", "-ngl",
		"--n-cpu-moe", "-ot", "-sm", "-ts", "-mg", "--no-kv-offload", "--no-op-offload", "--no-repack", "--load-mode", "--cache-ram", "--no-webui", "--fit",
		"--offline", "--log-verbosity", "--metrics", "--log-colors", "-hf", "--model-url"} {
		if !got[o] {
			t.Errorf("%s is missing", o)
		}
	}
	if len(got) < 200 {
		t.Errorf("only %d options", len(got))
	}
}
