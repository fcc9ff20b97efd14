package calc_test

import (
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/throughput"
)

// TestSpeedMonotone: along more sequences the total never falls and no
// sequence gets faster; along more context nothing gets faster; along more
// bandwidth nothing gets slower.
func TestSpeedMonotone(t *testing.T) {
	run := func(ref, eng string, l engine.Load, bandwidth float64) *throughput.Estimate {
		req := calc.Request{Model: resolve(t, "catalog:"+ref), Engine: eng, Hardware: devices(t, "4x H100-80GB"), Load: l}
		for i := range req.Hardware.Devices {
			req.Hardware.Devices[i].Bandwidth *= bandwidth
		}
		res, err := calc.Size(req)
		if err != nil {
			t.Fatalf("%s %s: %v", ref, eng, err)
		}
		return calc.Speed(req, res)
	}
	const slack = 1 + 1e-9 // of rounding
	for _, ref := range []string{"Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3.2", "openai/gpt-oss-120b", "meta-llama/Llama-3.1-8B"} {
		for _, base := range []engine.Load{{TensorParallel: 4}, {TensorParallel: 2, PipelineParallel: 2}, {PipelineParallel: 4}, {DataParallel: 4, TensorParallel: 1}} {
			base.ContextTokens = 4096
			var last *throughput.Estimate
			for n := int64(1); n <= 512; n *= 2 {
				base.Sequences = n * max(1, base.DataParallel)
				now := run(ref, "ideal", base, 1)
				if last != nil && (now.Decode.Low*slack < last.Decode.Low || now.Decode.High*slack < last.Decode.High || now.PerUser.Low > last.PerUser.Low*slack || now.PerUser.High > last.PerUser.High*slack) {
					t.Errorf("%s %+v: from %+v to %+v", ref, base, last.Decode, now.Decode)
				}
				last = now
			}
			base.Sequences, last = 4, nil
			for n := int64(512); n <= 1<<17; n *= 4 {
				base.ContextTokens = n
				now := run(ref, "ideal", base, 1)
				if last != nil && (now.Decode.High > last.Decode.High*slack || now.Decode.Low > last.Decode.Low*slack || now.FirstToken.Low*slack < last.FirstToken.Low) {
					t.Errorf("%s %+v: from %+v to %+v", ref, base, last, now)
				}
				if more := run(ref, "ideal", base, 2); more.Decode.Low*slack < now.Decode.Low || more.Decode.High*slack < now.Decode.High || more.FirstToken.High > now.FirstToken.High*slack {
					t.Errorf("%s %+v: twice the bandwidth: from %+v to %+v", ref, base, now, more)
				}
				last = now
			}
		}
	}
}
