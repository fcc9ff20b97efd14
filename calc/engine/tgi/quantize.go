package tgi

import (
	"sort"
)

// quantizers are the values of --quantize and the weight scheme that each
// makes while loading, "" for those that load what the checkpoint stores.
var quantizers = map[string]string{
	"awq": "", "gptq": "", "marlin": "", "exl2": "", "compressed-tensors": "",
	"eetq": "int8", "bitsandbytes": "bnb-int8", "bitsandbytes-nf4": "nf4", "bitsandbytes-fp4": "nf4", "fp8": "fp8",
}

func quantizerNames() []string {
	names := make([]string, 0, len(quantizers))
	for n := range quantizers {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// served are the schemes, besides what the checkpoint stores, that TGI loads
// or makes.
var served = []string{"bf16", "fp16", "fp8", "int8", "bnb-int8", "nf4", "awq", "gptq", "w4a16"}
