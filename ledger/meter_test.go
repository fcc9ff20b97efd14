package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"hwledger/ledger"
	"hwledger/ledger/event"
)

// A run's energy is what its devices' counters say, and unknown where they do
// not say, or say it of several runs.
func TestRunEnergy(t *testing.T) {
	began := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	type counters = map[string]int64
	for name, c := range map[string]struct {
		pools      counters
		start, end counters
		err        error
		other      counters // pools of a run that starts meanwhile
		told       counters
		want       string
	}{
		"one device":       {counters{"gpu0": 1, "host": 1}, counters{"gpu0": 1000, "gpu1": 5}, counters{"gpu0": 4500, "gpu1": 9}, nil, nil, nil, `3500 counter 0`},
		"two devices":      {counters{"gpu0": 1, "gpu1": 1}, counters{"gpu0": 1000, "gpu1": 5}, counters{"gpu0": 4500, "gpu1": 9}, nil, nil, nil, `3504 counter 0`},
		"another's run":    {counters{"gpu0": 1}, counters{"gpu0": 1000}, counters{"gpu0": 4500}, nil, counters{"gpu1": 1}, nil, `3500 counter 0`},
		"a shared device":  {counters{"gpu0": 1}, counters{"gpu0": 1000}, counters{"gpu0": 4500}, nil, counters{"gpu0": 1, "gpu1": 1}, nil, `nil  60000`},
		"a counter anew":   {counters{"gpu0": 1}, counters{"gpu0": 1000}, counters{"gpu0": 20}, nil, nil, nil, `nil  60000`},
		"one is not there": {counters{"gpu0": 1, "gpu1": 1}, counters{"gpu0": 1000}, counters{"gpu0": 4500, "gpu1": 9}, nil, nil, nil, `nil  60000`},
		"unreadable":       {counters{"gpu0": 1}, nil, nil, errors.New("no driver"), nil, nil, `nil  60000`},
		"system memory":    {counters{"host": 1}, counters{"gpu0": 1000}, counters{"gpu0": 4500}, nil, nil, nil, `nil  0`},
		"no pools":         {nil, counters{"gpu0": 1000}, counters{"gpu0": 4500}, nil, nil, nil, `nil  0`},
		"told by the exit": {counters{"gpu0": 1}, counters{"gpu0": 1000}, counters{"gpu0": 4500}, nil, nil, counters{"energy_mj": 7}, `7  0`},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir(), ledger.Options{})
			now := c.start
			runs := ledger.Runs{
				Open:  func(context.Context) (*ledger.Ledger, error) { return l, nil },
				Meter: func(context.Context) (map[string]int64, error) { return now, c.err },
			}
			tell := func(typ, id string, after time.Duration, payload map[string]any) {
				t.Helper()
				if err := runs.Record(t.Context(), ledger.RunEvent{Type: typ, Sidecar: id, Time: began.Add(after), Payload: payload}); err != nil {
					t.Fatal(err)
				}
			}
			tell("prediction", "a", 0, map[string]any{"reserve_bytes": c.pools})
			tell("launch", "a", 0, map[string]any{"pid": 1})
			if c.other != nil {
				tell("prediction", "b", time.Second, map[string]any{"reserve_bytes": c.other})
				tell("launch", "b", time.Second, map[string]any{"pid": 2})
				tell("exit", "b", 2*time.Second, map[string]any{})
			}
			now = c.end
			exit := map[string]any{"reason": "idle"}
			for k, v := range c.told {
				exit[k] = v
			}
			tell("exit", "a", time.Minute, exit)
			p, err := l.Query(t.Context(), ledger.Query{Type: event.TypeExit, Subject: "a", Limit: 1})
			if err != nil || len(p.Events) != 1 {
				t.Fatal(len(p.Events), err)
			}
			var got event.Exit
			if err := json.Unmarshal(p.Events[0].Payload, &got); err != nil {
				t.Fatal(err)
			}
			if s := energyText(got.Energy); s != c.want {
				t.Errorf("energy %q, want %q", s, c.want)
			}
		})
	}
}

func energyText(e event.Energy) string {
	mj := "nil"
	if e.MilliJoules != nil {
		b, _ := json.Marshal(*e.MilliJoules) // an integer
		mj = string(b)
	}
	unknown, _ := json.Marshal(e.UnknownMS)
	return mj + " " + e.Source + " " + string(unknown)
}
