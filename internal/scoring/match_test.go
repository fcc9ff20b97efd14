package scoring

import "testing"

// A dot parts a name's words, except in a version number.
func TestKeyOfReadsDots(t *testing.T) {
	for name, want := range map[string]key{
		"neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w8a8": {base: "llama31-70b", quant: true},
		"RedHatAI/Qwen3.6-35B-A3B-NVFP4":                         {base: "qwen36-35b-a3b", quant: true},
		"meta-llama/Llama-3.1-70B-Instruct":                      {base: "llama31-70b"},
	} {
		if got := keyOf(name); got.base != want.base || got.quant != want.quant {
			t.Errorf("%s: base %q, quantized %t; want %q, %t", name, got.base, got.quant, want.base, want.quant)
		}
	}
}
