package tgi

import (
	"sort"

	"hwledger/calc/model"
	"hwledger/calc/quant"
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

// checkScheme refuses schemes that TGI can neither load nor make.
func checkScheme(m *model.Model, name string) error {
	if name == "" || name == "auto" {
		return nil
	}
	want, err := quant.For(m, name)
	if err != nil {
		return err
	}
	if own, err := quant.AsStored(m); err == nil && own.Name() == want.Name() {
		return nil
	}
	for _, n := range served {
		if s, err := quant.Parse(n); err == nil && s.Name() == want.Name() {
			return nil
		}
	}
	e := model.Errorf(model.InvalidArgument, "weights", "TGI neither loads nor makes %s weights", want.Name())
	e.Candidates = served
	return e.WithHint("use one of the candidates, or an engine that reads this format")
}
