package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger"
	"hwledger/ledger/event"
)

// figure is as whoever runs engines has it: zero is no range.
type figure struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Low   int64  `json:"low_bytes,omitempty"`
	High  int64  `json:"high_bytes,omitempty"`
}

// What happens to an engine, from its prediction to its end, is in the ledger
// with all that was told, and in its reports.
func TestRuns(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	runs := ledger.Runs{Open: func(context.Context) (*ledger.Ledger, error) { return l, nil }}
	predicted := []figure{{Name: "weights", Bytes: 1000}, {Name: "kv cache", Bytes: 500, Low: 450, High: 550}, {Name: "workspace", Bytes: 100, Low: 50, High: 300}}
	argv := []string{"/opt/llama-server", "-m", "model.gguf", "--api-key", "secret"}
	lines := []string{"CUDA error: out of memory", "the prompt was: tell me a secret"}
	for _, e := range []ledger.RunEvent{
		{Type: "prediction", Payload: map[string]any{"predicted": predicted, "reserve_bytes": map[string]int64{"cuda:0": 1600, "host": 10}, "forced": true}},
		{Type: "launch", Payload: map[string]any{"argv": argv, "lifetime": "session", "pid": 4711, "program": "/opt/llama-server"}},
		{Type: "measurement", Payload: map[string]any{"predicted": predicted, "measured": []figure{{Name: "weights", Bytes: 1000}, {Name: "kv cache", Bytes: 500}, {Name: "scratch", Bytes: 7}},
			"resident_bytes": int64(2000), "pool_delta_bytes": map[string]int64{"cuda:0": 1700, "cuda:1": -5}}},
		{Type: "timing", Payload: map[string]any{"what": "start", "milliseconds": int64(1234)}},
		{Type: "timing", Payload: map[string]any{"what": "call", "milliseconds": int64(900), "first_token_milliseconds": int64(80), "prompt_tokens": int64(12), "completion_tokens": int64(34), "tokens_per_second": 41.5}},
		{Type: "exit", Payload: map[string]any{"pid": 4711, "uptime_milliseconds": int64(60000), "exit_code": 1, "cpu_milliseconds": int64(5000), "signal": "SIGKILL", "peak_resident_bytes": int64(3000),
			"peak_device_bytes": int64(1800), "energy_mj": int64(21000000), "energy_source": "counter", "energy_unknown_ms": int64(20), "reason": "it ran out of memory", "how": "killed", "kind": "out_of_memory", "lines": lines}},
	} {
		e.Sidecar, e.Engine, e.Version, e.Model, e.Time = "0123456789", "llama.cpp", "b9999", "org/model", time.Now()
		if err := runs.Record(t.Context(), e); err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
	}
	p, err := l.Query(t.Context(), ledger.Query{Subject: "0123456789", Device: "cuda:0", Limit: 10})
	if err != nil || len(p.Events) != 6 {
		t.Fatalf("%d events, %v", len(p.Events), err)
	}
	var got []string
	for i := len(p.Events) - 1; i >= 0; i-- {
		e := p.Events[i]
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(e.Payload, &fields); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"model": `"org/model"`, "engine": `"llama.cpp"`, "engine_version": `"b9999"`, "device": `"cuda:0"`} {
			if string(fields[name]) != want {
				t.Errorf("%s: %s is %s", e.Type, name, fields[name])
			}
			delete(fields, name)
		}
		rest, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Type+" "+string(rest))
	}
	want := []string{
		`prediction {"figures":[{"bytes":1000,"name":"weights"},{"bytes":500,"high_bytes":550,"low_bytes":450,"name":"kv cache"},{"bytes":100,"high_bytes":300,"low_bytes":50,"name":"workspace"}],` +
			`"forced":true,"high_bytes":1850,"low_bytes":1500,"required_bytes":1600,"reserve_bytes":{"cuda:0":1600,"host":10}}`,
		`launch {"arguments":5,"argv_sha256":"` + sha(strings.Join(argv, "\x00")+"\x00") + `","lifetime":"session","pid":4711,"program":"/opt/llama-server"}`,
		`measurement {"figures":[{"bytes":1000,"high_bytes":1000,"low_bytes":1000,"name":"weights","predicted_bytes":1000},{"bytes":500,"high_bytes":550,"low_bytes":450,"name":"kv cache","predicted_bytes":500},{"bytes":7,"name":"scratch"}],` +
			`"pool_delta_bytes":{"cuda:0":1700,"cuda:1":-5},"resident_bytes":2000}`,
		`timing {"duration_ms":1234,"what":"start"}`,
		`timing {"completion_tokens":34,"duration_ms":900,"first_token_ms":80,"prompt_tokens":12,"tokens_per_second":41.5,"what":"call"}`,
		`exit {"code":1,"cpu_ms":5000,"duration_ms":60000,"energy_mj":21000000,"energy_source":"counter","energy_unknown_ms":20,"failure":"out_of_memory","how":"killed","log_lines":2,` +
			`"log_sha256":"` + sha(strings.Join(lines, "\n")+"\n") + `","peak_bytes":1800,"peak_resident_bytes":3000,"pid":4711,"reason":"it ran out of memory","signal":"SIGKILL"}`,
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
	// Only what was measured of the parts that were predicted is compared.
	u, err := l.Usage(t.Context(), ledger.UsageQuery{By: []string{"model", "engine", "device"}})
	if err != nil || len(u.Rows) != 1 || u.Rows[0].Group["device"] != "cuda:0" || u.Rows[0].Measured != 1 || *u.Rows[0].MeanError != 0 || u.Rows[0].Within != 1 || *u.Rows[0].MilliJoules != 21_000_000 || u.Rows[0].UnknownMS != 20 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := l.CheckProjections(t.Context()); err != nil {
		t.Error(err)
	}
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// An engine that says only what it takes in all is compared with the whole
// prediction.
func TestRunsInAll(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	runs := ledger.Runs{Open: func(context.Context) (*ledger.Ledger, error) { return l, nil }}
	predicted := []figure{{Name: "weights", Bytes: 900, Low: 800, High: 950}, {Name: "kv cache", Bytes: 200}}
	for _, e := range []ledger.RunEvent{
		{Type: "prediction", Payload: map[string]any{"predicted": predicted, "reserve_bytes": map[string]int64{"host": 1100}}},
		{Type: "launch", Payload: map[string]any{"daemon": "http://127.0.0.1:11434", "lifetime": "detached"}},
		{Type: "measurement", Payload: map[string]any{"predicted": predicted, "measured": []figure{{Name: "required", Bytes: 1000}, {Name: "required on devices", Bytes: 0}}, "pool_delta_bytes": map[string]int64{}, "resident_bytes": int64(0)}},
		{Type: "exit", Payload: map[string]any{"uptime_milliseconds": int64(5), "reason": "idle", "how": ""}},
	} {
		e.Sidecar, e.Engine, e.Model = "abcdef0123", "ollama", "qwen3:8b"
		if err := runs.Record(t.Context(), e); err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
	}
	u, err := l.Usage(t.Context(), ledger.UsageQuery{By: []string{"device"}})
	if err != nil || len(u.Rows) != 1 || u.Rows[0].Group["device"] != "host" || *u.Rows[0].MeanError != 10 || u.Rows[0].Within != 1 || u.Rows[0].MilliJoules != nil {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestRunsRefused(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	runs := ledger.Runs{Open: func(context.Context) (*ledger.Ledger, error) { return l, nil }}
	err := runs.Record(t.Context(), ledger.RunEvent{Type: "gossip", Sidecar: "x"})
	wantCode(t, err, fault.InvalidArgument, "prediction")
	err = runs.Record(t.Context(), ledger.RunEvent{Type: "exit", Sidecar: "x", Payload: map[string]any{"exit_code": "none"}})
	wantCode(t, err, fault.InvalidArgument, "exit")
	closed := errors.New("no ledger")
	runs.Open = func(context.Context) (*ledger.Ledger, error) { return nil, closed }
	if err := runs.Record(t.Context(), ledger.RunEvent{Type: "timing", Sidecar: "x", Payload: map[string]any{"what": "start", "milliseconds": 1}}); !errors.Is(err, closed) {
		t.Error(err)
	}
}

// Several sidecars tell at once.
func TestRunsAtOnce(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	runs := ledger.Runs{Open: func(context.Context) (*ledger.Ledger, error) { return l, nil }}
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for _, e := range []ledger.RunEvent{
				{Type: "prediction", Sidecar: id, Payload: map[string]any{"reserve_bytes": map[string]int64{"gpu-" + id: 1}}},
				{Type: "exit", Sidecar: id, Payload: map[string]any{"reason": "idle"}},
			} {
				if err := runs.Record(context.Background(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range []string{"a", "b", "c", "d"} {
		p, err := l.Query(t.Context(), ledger.Query{Type: event.TypeExit, Device: "gpu-" + id, Limit: 5})
		if err != nil || len(p.Events) != 1 || p.Events[0].Subject != id {
			t.Errorf("%+v, %v", p.Events, err)
		}
	}
}

// A measurement that says only whose it is belongs to what was predicted, with
// its energy too.
func TestMeasurementOfPrediction(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	for _, c := range []struct {
		typ     event.Type
		payload string
	}{
		{event.TypePrediction, `{"model":"m","engine":"e","device":"d","required_bytes":110}`},
		{event.TypeMeasurement, `{"required_bytes":100,"energy_mj":7}`},
	} {
		for _, subject := range []string{"one", "two"} {
			if c.typ == event.TypeMeasurement && subject == "two" {
				c.payload = `{"required_bytes":100,"energy_mj":7,"device":"other"}`
			}
			add(t, l, ledger.Event{Type: c.typ, Subject: subject, Actor: "test", Payload: json.RawMessage(c.payload)})
		}
	}
	u, err := l.Usage(t.Context(), ledger.UsageQuery{By: []string{"device", "model"}})
	if err != nil || len(u.Rows) != 2 {
		t.Fatalf("%+v, %v", u, err)
	}
	for i, device := range []string{"d", "other"} {
		if r := u.Rows[i]; r.Group["device"] != device || r.Group["model"] != "m" || r.Measured != 1 || r.MilliJoules == nil || *r.MilliJoules != 7 {
			t.Errorf("%+v", r)
		}
	}
}
