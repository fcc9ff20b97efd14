package scoring

import (
	"strings"
	"testing"
)

// Starts of SGLang that users published, as a longer record holds them.
const sglangRows = `{"id":"h100","engine":"sglang","model":"Qwen/Qwen3-235B-A22B-FP8","weights_dtype":"fp8","kv_dtype":"auto","gpu":"NVIDIA H100","tp":4,"pp":1,"dp":1,"observed":{"kv_cache_tokens":367404,"sglang_k_gb":8.23,"sglang_v_gb":8.23},"tier":"B"}
{"id":"ascend","engine":"sglang","model":"Qwen/Qwen3-32B","weights_dtype":"bf16","kv_dtype":"auto","gpu":"Huawei Ascend NPU","tp":8,"pp":1,"dp":1,"observed":{"weights_gib":8.01,"kv_cache_tokens":1172096,"sglang_k_gb":17.89,"sglang_v_gb":17.89},"notes":"page_size=128; chunked_prefill_size=-1","tier":"A"}
{"id":"gb10","engine":"sglang","model":"Qwen/Qwen2.5-1.5B-Instruct","weights_dtype":"bf16","kv_dtype":"fp8_e4m3","gpu":"NVIDIA GB10 (DGX Spark)","tp":1,"pp":1,"dp":1,"observed":{"weights_gib":3.27,"kv_cache_tokens":3113713,"sglang_k_gb":20.79,"sglang_v_gb":20.79},"tier":"A"}
{"id":"fp4","engine":"sglang","model":"Qwen/Qwen2.5-1.5B-Instruct","kv_dtype":"fp4_e2m1","tp":1,"observed":{"kv_cache_tokens":5539718,"sglang_k_gb":18.49,"sglang_v_gb":18.49},"tier":"A"}
{"id":"two pools","engine":"sglang","model":"Qwen/Qwen3-32B","tp":4,"observed":{"swa_pool_tokens":300288},"tier":"B"}`

func TestSGLangRows(t *testing.T) {
	rows, err := readRows(strings.NewReader(sglangRows), "in")
	if err != nil {
		t.Fatal(err)
	}
	ms, err := newModels("")
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		r := score(&rows[i], ms)
		switch r.ID {
		case "fp4", "two pools":
			if r.Skipped == "" {
				t.Errorf("%s: planned, want skipped", r.ID)
			}
			continue
		}
		if r.Skipped != "" || r.PerToken == nil || r.PerToken.beyond() > 0.0001 {
			t.Errorf("%s: skipped %q, bytes of a token %+v", r.ID, r.Skipped, r.PerToken)
			continue
		}
		if (r.Total == nil) != (r.Unscored != "") || r.Total != nil && (r.Total.beyond() > 0.05 || !r.Total.inside()) {
			t.Errorf("%s: total %+v, %s", r.ID, r.Total, r.Unscored)
		}
	}
}
