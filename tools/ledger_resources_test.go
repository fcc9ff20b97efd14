package tools

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestLedgerResources(t *testing.T) {
	s, l := withLedger(t)
	srv, err := s.Server()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, params string) string {
		t.Helper()
		raw, err := json.Marshal(srv.HandleMessage(t.Context(), fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	ask("initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`)
	if got := ask("resources/read", `{"uri":"hwledger://ledger/checkpoint"}`); !strings.Contains(got, "no checkpoint is signed yet") {
		t.Error(got)
	}
	s.Call(t.Context(), "record_event", json.RawMessage(`{"type":"note","subject":"box","payload":{"text":"one"}}`))
	if _, err := l.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, params, want string }{
		{"resources/list", `{}`, `"uri":"hwledger://ledger/checkpoint"`},
		{"resources/templates/list", `{}`, `"uriTemplate":"hwledger://ledger/{seq}"`},
		{"resources/read", `{"uri":"hwledger://ledger/checkpoint"}`, `hwledger.local/`},
		{"resources/read", `{"uri":"hwledger://ledger/1"}`, `{\"text\":\"one\"}`},
		{"resources/read", `{"uri":"hwledger://ledger/2"}`, `there is no event 2`},
		{"resources/read", `{"uri":"hwledger://ledger/1%27%20OR%201"}`, `no address of an event`},
	} {
		if got := ask(c.method, c.params); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s, want %s", c.method, c.params, got, c.want)
		}
	}
}
