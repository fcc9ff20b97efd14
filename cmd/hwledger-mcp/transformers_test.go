package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// checkpoint makes a model of two layers with random weights, whose tokens are
// bytes and letters, as transformers writes it.
const checkpoint = `
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
import torch
vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
for i in range(256):
    vocab[f"<0x{i:02X}>"] = len(vocab)
for c in "\u2581abcdefghijklmnopqrstuvwxyz":
    vocab[c] = len(vocab)
t = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>", unk_token="<unk>").save_pretrained(sys.argv[1])
config = LlamaConfig(vocab_size=len(vocab), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                     max_position_embeddings=2048, bos_token_id=1, eos_token_id=2)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
`

// The reference helper runs the real transformers, in a Python that is named:
// it answers, its weights are the planned ones to the byte, and the next plan has
// what its process took.
func TestCallTransformers(t *testing.T) {
	python := os.Getenv("HWLEDGER_TRANSFORMERS_PYTHON")
	if python == "" {
		t.Skip("HWLEDGER_TRANSFORMERS_PYTHON names no Python with transformers; .ci/transformers fetches one")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "tiny")
	if out, err := exec.Command(python, "-c", checkpoint, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	home := t.TempDir()
	allow := []string{"--allow-launch", "--model-root", dir, "--engine-path", "transformers-bridge=" + python}
	server := startWith(t, append(os.Environ(), "HWLEDGER_HOME="+home, "HF_HUB_OFFLINE=1"), append([]string{"--log-level", "warn"}, allow...)...)
	server.send(hello)
	server.receive()
	id := 0
	ask := func(tool, args string) (answer map[string]any) {
		t.Helper()
		id++
		server.send(toolCall(id, tool, args))
		m := server.receive()
		for m.ID == nil { // a resource changed, or so
			m = server.receive()
		}
		var got struct{ StructuredContent map[string]any }
		if json.Unmarshal(m.Result, &got) != nil || got.StructuredContent["code"] != nil {
			t.Fatalf("%s: %s", tool, m.Result)
		}
		return got.StructuredContent
	}
	launched := ask("launch_sidecar", fmt.Sprintf(`{"model":%q,"engine":"transformers","context_tokens":512,"confirm":true,"name":"one"}`, path))
	if launched["state"] != "ready" {
		t.Fatalf("%v", launched)
	}
	weights := false
	for _, d := range launched["differences"].([]any) {
		d := d.(map[string]any)
		// The helper counts the two tables of rotary frequencies too, 64 bytes.
		weights = weights || d["name"] == "weights" && d["measured_bytes"].(float64)-d["predicted_bytes"].(float64) == 64
	}
	if !weights {
		t.Errorf("the weights are not as planned: %v", launched["differences"])
	}
	called := ask("call_sidecar", `{"id":"one","prompt":"hello world","max_tokens":5}`)
	if usage, _ := called["usage"].(map[string]any); usage["completion_tokens"] != 5.0 || usage["prompt_tokens"].(float64) < 3 {
		t.Errorf("%v", called)
	}
	if got := ask("stop_sidecar", `{"id":"one"}`); got["state"] != "stopped" {
		t.Errorf("%v", got)
	}
	var process map[string]any
	for _, x := range ask("plan_memory", fmt.Sprintf(`{"model":%q,"engine":"transformers","context_tokens":512,"hardware":"local","detail":"terms"}`, path))["terms"].([]any) {
		if x := x.(map[string]any); x["name"] == "process" {
			process = x
		}
	}
	if process["source"] != "starts on this machine, in its ledger" {
		t.Errorf("the next plan's process is by the rules: %v", process)
	}
	if got := ask("verify_ledger", `{}`); got["ok"] != true {
		t.Errorf("%v", got)
	}
	server.end()
}
