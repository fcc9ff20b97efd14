package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// noFile is what the system says of a file that is not there.
var noFile = syscall.ENOENT.Error()

func TestLedgerCommand(t *testing.T) {
	home := map[string]string{"HWLEDGER_HOME": t.TempDir()}
	dir := t.TempDir()
	export, focus, backup, pinned, proof := filepath.Join(dir, "e.jsonl"), filepath.Join(dir, "c.csv"), filepath.Join(dir, "b.db"), filepath.Join(dir, "pinned"), filepath.Join(dir, "none")
	for _, c := range []struct {
		name, args string
		code       int
		stdout     string
		stderr     string // contained; empty: nothing at all
	}{
		{"record", `call record_event {"type":"note","subject":"box","payload":{"text":"one"}}`, 0, `"seq": 1`, ""},
		{"record a cost", `call record_event {"type":"cost","subject":"box","payload":{"kind":"energy","energy_mj":1260000000,"unit_price_micro_usd":300000}}`, 0, `"seq": 2`, ""},
		{"query", "ledger query", 0, "2 events.", ""},
		{"query by flags", "ledger query --type cost --json", 0, `"amount_micro_usd": 105000`, ""},
		{"query wrongly", "ledger query --type gossip", 1, "", "invalid_argument"},
		{"query with a word", "ledger query cost", 2, "", `unexpected argument "cost"`},
		{"verify", "ledger verify", 0, "INTACT. 2 events", ""},
		{"verify in JSON", "ledger verify --json", 0, `"ok": true`, ""},
		{"verify and rebuild", "ledger verify --rebuild", 0, "INTACT", ""},
		{"checkpoint", "ledger checkpoint", 0, "hwledger.local/", ""},
		{"checkpoint to a file", "ledger checkpoint --out " + pinned, 0, "", ""},
		{"verify with it", "ledger verify --checkpoint " + pinned, 0, "2 pinned", ""},
		{"verify with none", "ledger verify --checkpoint " + proof, 2, "", noFile},
		{"key", "ledger key", 0, "hwledger.local/", ""},
		{"prove", "ledger prove 1", 0, "c2sp.org/tlog-proof@v1\nindex 0\n", ""},
		{"prove nothing", "ledger prove 9", 1, "", "there is no event 9"},
		{"prove a word", "ledger prove one", 2, "", "not the number of an event"},
		{"export", "ledger export", 0, `{"hwledger_export":1,`, ""},
		{"export to a file", "ledger export --out " + export, 0, "", ""},
		{"costs", "ledger export --format focus --out " + focus, 0, "", ""},
		{"unknown format", "ledger export --format xml", 2, "", "jsonl and focus"},
		{"verify the export", "ledger verify --file " + export, 0, "INTACT. 2 events", ""},
		{"import what is there", "ledger import " + export, 0, "Imported 0 events", ""},
		{"backup", "ledger backup " + backup, 0, "INTACT. 2 events", ""},
		{"backup twice", "ledger backup " + backup, 1, "", "there already"},
		{"erase without a reason", "ledger erase 1", 1, "", "reason"},
		{"erase", "ledger erase 1 --reason asked", 0, "event 3 says so", ""},
		{"verify after it", "ledger verify", 0, "INTACT. 3 events", ""},
		{"usage", "call report_usage --text", 0, "$0.105000", ""},
		{"no subcommand", "ledger", 2, "", "subcommand"},
		{"unknown subcommand", "ledger prune", 2, "", `"prune"`},
		{"unknown flag", "ledger verify --chekpoint x", 2, "", "chekpoint"},
		{"help", "help ledger", 0, "ledger erase SEQ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := try(t, "", home, false, strings.Split(c.args, " ")...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" || c.stdout == "" && stdout != "" {
				t.Errorf("%s: code %d, want %d\nstdout: %.300s\nstderr: %.300s", c.args, code, c.code, stdout, stderr)
			}
		})
	}
	other := map[string]string{"HWLEDGER_HOME": t.TempDir()}
	if code, stdout, stderr := try(t, "", other, false, "ledger", "import", export); code != 0 || !strings.Contains(stdout, "Imported 2") {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	edited, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(export, []byte(strings.Replace(string(edited), "105000", "105001", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := try(t, "", home, false, "ledger", "verify", "--json", "--file", export)
	var state struct {
		OK       bool
		Code     string
		FirstBad int64 `json:"first_bad_seq"`
		Damage   string
	}
	if err := json.Unmarshal([]byte(stdout), &state); err != nil || code != 1 || state.OK || state.Code != "integrity_violation" || state.FirstBad != 2 || state.Damage != "edited" {
		t.Errorf("an edited export: %d %+v %v %s", code, state, err, stderr)
	}
}

// A server that is asked for no ledger makes none, and one that is pins what
// it recorded when it ends.
func TestServerKeepsLedger(t *testing.T) {
	home := t.TempDir()
	s := startWith(t, append(os.Environ(), "HF_HUB_OFFLINE=1", "HWLEDGER_HOME="+home))
	s.send(hello)
	s.receive()
	if _, err := os.Stat(filepath.Join(home, "ledger")); !os.IsNotExist(err) {
		t.Errorf("a ledger was made before anybody asked: %v", err)
	}
	s.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" + toolCall(1, "record_event", `{"type":"note","subject":"box","payload":{"text":"one"}}`))
	if m := s.receive(); m.Error != nil || !strings.Contains(string(m.Result), `"seq":1`) {
		t.Errorf("%+v", m)
	}
	s.end()
	note, err := os.ReadFile(filepath.Join(home, "ledger", "checkpoint"))
	if err != nil || !strings.Contains(string(note), "\n1\n") {
		t.Errorf("%s %v", note, err)
	}
}

// A proof convinces somebody who has no more than the receipt and the key.
func TestCheckProof(t *testing.T) {
	home := map[string]string{"HWLEDGER_HOME": t.TempDir()}
	run := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := try(t, "", home, false, args...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
		return stdout
	}
	var receipts []struct{ Leaf string }
	for _, text := range []string{"one", "two", "three"} {
		var r struct{ Leaf string }
		if err := json.Unmarshal([]byte(run("call", "record_event", `{"type":"note","subject":"box","payload":{"text":"`+text+`"}}`)), &r); err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	path := filepath.Join(t.TempDir(), "proof")
	if err := os.WriteFile(path, []byte(run("ledger", "prove", "2")), 0o600); err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(run("ledger", "key"))
	other := map[string]string{"HWLEDGER_HOME": t.TempDir()}
	for _, c := range []struct {
		name, leaf, key, file string
		code                  int
		says                  string
	}{
		{"good", receipts[1].Leaf, key, path, 0, "PROVEN. Event 2 is one of the 3"},
		{"another event", receipts[0].Leaf, key, path, 1, "integrity_violation"},
		{"another key", receipts[1].Leaf, "x+00000000+AAAA", path, 2, "--key"},
		{"no hash", "AAAA", key, path, 2, "--leaf"},
		{"no proof", receipts[1].Leaf, key, os.DevNull, 1, "malformed_file"},
		{"no file", receipts[1].Leaf, key, path + "-none", 2, noFile},
	} {
		code, stdout, stderr := try(t, "", other, false, "ledger", "check", c.file, "--leaf", c.leaf, "--key", c.key)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%s: %d %s %s", c.name, code, stdout, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(other["HWLEDGER_HOME"], "ledger")); !os.IsNotExist(err) {
		t.Errorf("checking made a ledger: %v", err)
	}
}
