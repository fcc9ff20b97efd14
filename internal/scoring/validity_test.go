package scoring

import "testing"

// Which rows have no total follows from what the log says.
func TestTotalsThatLogsDoNotHave(t *testing.T) {
	want := map[string]string{
		"harv059-qwen3-vl-embedding-2b-tp1":                "the log contradicts itself: the budget less the pool is less than the weights",
		"doc-club3090-qwen36-27b-int8kv":                   "the log does not say how weights are stored",
		"iss-hfmem60-gptoss120b":                           "the log names no device",
		"iss-club3090-1047":                                "no pool in the log",
		"harv077-qwen3-4b-tp1":                             "", // other processes on the card: its own parts are the total
		"llmd-openai-gpt-oss-20b-h100-80gb-tp2pp1dp1-8192": "",
	}
	for _, r := range scored(t) {
		why, ok := want[r.ID]
		if !ok {
			continue
		}
		delete(want, r.ID)
		if r.Unscored != why || (why == "") != (r.Total != nil) {
			t.Errorf("%s: %q, want %q", r.ID, r.Unscored, why)
		}
		if r.ID == "harv077-qwen3-4b-tp1" && (r.Total == nil || r.Total.Observed < 8.2 || r.Total.Observed > 8.22) {
			t.Errorf("%s: total %+v, its parts are 7.56, 0.59 and 0.06 GiB", r.ID, r.Total)
		}
	}
	for id := range want {
		t.Errorf("no row %s", id)
	}
}

func TestReleaseOfIssues(t *testing.T) {
	for id, want := range map[string]string{
		"iss-vllm10517-llama31-8b-20000": "0.6.6", "iss-vllm28228-kimi-linear": "0.11.0", "iss-vllm33155-x": "0.14.1", "iss-club3090-612": "",
	} {
		if got := (&row{ID: id}).release(); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
