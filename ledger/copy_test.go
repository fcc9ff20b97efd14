package ledger_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	signed "golang.org/x/mod/sumdb/note"

	"hwledger/internal/fault"
	"hwledger/ledger"
	"hwledger/ledger/event"
	"hwledger/ledger/proof"
)

func quiet(int64, int64) {}

// story is a ledger with something of every kind, an erasure, and a clock that
// was set back.
func story(t testing.TB, dir string) *ledger.Ledger {
	t.Helper()
	times := 0
	l := open(t, dir, ledger.Options{Now: func() time.Time {
		times++
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(times) * 20 * time.Hour)
		if times == 9 {
			at = at.Add(-30 * 24 * time.Hour)
		}
		return at
	}})
	labels := event.Labels{Model: "Qwen/Qwen3-8B", Engine: "vllm", Device: "RTX 4090"}
	bytes := func(n int64) *int64 { return &n }
	for _, e := range []ledger.Event{
		{Type: event.TypeDevice, Subject: "RTX 4090", Payload: event.Device{Device: "RTX 4090", Price: 1_599_000_000, Life: 35_064, Use: 50}},
		{Type: event.TypePrediction, Subject: "run-1", Payload: event.Prediction{Labels: labels, Memory: event.Memory{Required: bytes(20_000_000_000)}, Low: bytes(19_000_000_000), High: bytes(21_000_000_000)}},
		{Type: event.TypeLaunch, Subject: "run-1", Payload: event.Launch{Labels: labels, PID: 77}},
		{Type: event.TypeMeasurement, Subject: "run-1", Payload: event.Measurement{Labels: labels, Memory: event.Memory{Required: bytes(20_500_000_000)}, Energy: event.Energy{MilliJoules: bytes(1_260_000_000), UnknownMS: 1500}}},
		{Type: event.TypeExit, Subject: "run-1", Payload: event.Exit{Labels: labels, Code: bytes(0), Energy: event.Energy{MilliJoules: bytes(40_000_000)}}},
		{Type: event.TypeCost, Subject: "run-1", Payload: event.Cost{Labels: labels, Kind: "energy", Energy: event.Energy{MilliJoules: bytes(1_300_000_000)}, UnitPrice: bytes(300_000)}},
		{Type: event.TypeCost, Subject: "run-1", Payload: event.Cost{Labels: labels, Kind: "hardware", Period: event.Period{Start: "2026-11-03T00:00:00Z", End: "2026-11-03T02:00:00Z"}}},
		{Type: event.TypeCost, Subject: "pod", Payload: event.Cost{Labels: event.Labels{Model: "Qwen/Qwen3-8B", Device: "H100"}, Kind: "rental", Provider: "RunPod", UnitPrice: bytes(2_990_000), Quantity: new(float64), Amount: bytes(5_980_000)}},
		{Type: event.TypeCost, Subject: "pod", Payload: event.Cost{Labels: event.Labels{Model: "Qwen/Qwen3-8B", Device: "H100"}, Kind: "rental", Provider: "RunPod", Stage: "invoice", Settles: []int64{8}, Amount: bytes(6_100_000), Invoice: "INV-1"}},
		{Type: event.TypeAdjustment, Subject: "pod", Payload: event.Adjustment{Adjusts: 9, Amount: -100_000, Reason: "credit"}},
		{Type: event.TypeNote, Subject: "alice", Payload: event.Note{Labels: labels, Text: "alice's secret <b>&"}},
	} {
		e.Actor = "test"
		add(t, l, e)
	}
	if _, err := l.Erase(t.Context(), 11, "asked for by the person", "test"); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestUsage(t *testing.T) {
	l := story(t, t.TempDir())
	u, err := l.Usage(t.Context(), ledger.UsageQuery{By: []string{"device"}})
	if err != nil {
		t.Fatal(err)
	}
	// 1.3 GJ are 0.36111 kWh: 108,333 micro-USD. $1599 over 17,532 h is 91,205
	// an hour, of two hours. The rental's invoice counts, not its estimate.
	const energy, hardware, invoice, credit = 108_333, 182_410, 6_100_000, 100_000
	if got := u.Totals.Money; got.Cost != energy+hardware+invoice-credit || got.Estimated != energy+hardware+5_980_000 || got.Invoiced != invoice || got.Adjusted != -credit || got.Lines != 4 {
		t.Errorf("money %+v", got)
	}
	if u.Totals.MilliJoules == nil || *u.Totals.MilliJoules != 1_300_000_000 || u.Totals.UnknownMS != 1500 {
		t.Errorf("energy %+v", u.Totals.Power)
	}
	// (20.0 - 20.5) / 20.5 = -2.439 %
	a := u.Totals.Accuracy
	if a.Measured != 1 || a.MeanError == nil || *a.MeanError > -2.43902 || *a.MeanError < -2.43903 || *a.MeanAbsolute != -*a.MeanError || a.Within != 1 || a.Ranged != 1 {
		t.Errorf("accuracy %+v", a)
	}
	if len(u.Rows) != 2 || u.Rows[0].Group["device"] != "H100" || u.Rows[0].Cost != invoice-credit || u.Rows[0].MilliJoules != nil || u.Rows[1].Cost != energy+hardware {
		t.Errorf("rows %+v", u.Rows)
	}
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	u, err = l.Usage(t.Context(), ledger.UsageQuery{By: []string{"month", "model"}, Since: day(3), Until: day(4)})
	if err != nil || len(u.Rows) != 1 || u.Rows[0].Group["month"] != "2026-11" || u.Rows[0].Estimated != hardware {
		t.Errorf("a day: %+v, %v", u, err) // the hardware's period, and no cost was recorded that day
	}
	_, err = l.Usage(t.Context(), ledger.UsageQuery{By: []string{"mood"}})
	wantCode(t, err, fault.InvalidArgument, "month")
	if u, err = open(t, t.TempDir(), ledger.Options{}).Usage(t.Context(), ledger.UsageQuery{}); err != nil || u.Totals.Lines != 0 || u.Totals.MilliJoules != nil || u.Totals.MeanError != nil {
		t.Errorf("of nothing: %+v, %v", u, err)
	}
}

// Projections are what the events say, when they follow them step by step,
// when they are made anew, and after an erasure; what else they say is found.
func TestProjections(t *testing.T) {
	dir := t.TempDir()
	l := story(t, dir)
	for _, step := range []func(context.Context) error{l.CheckProjections, l.Rebuild, l.CheckProjections} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	db := raw(t, dir, false)
	for _, text := range []string{
		"UPDATE costs SET amount = 1 WHERE seq = 9", "DELETE FROM labels WHERE seq = 3", "UPDATE runs SET code = 9", "UPDATE measured SET within = 0",
		"INSERT INTO predictions (seq, subject) VALUES (99, 'x')", "UPDATE days SET last_seq = 3", "DELETE FROM devices", "UPDATE energy SET unknown_ms = 0",
	} {
		do(t, db, text)
		wantCode(t, l.CheckProjections(t.Context()), fault.IntegrityViolation, "--rebuild")
		if err := l.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.CheckProjections(t.Context()); err != nil {
			t.Errorf("after %s: %v", text, err)
		}
	}
}

func TestReferences(t *testing.T) {
	l := story(t, t.TempDir())
	n := int64(5)
	for name, e := range map[string]ledger.Event{
		"adjusts a note":      {Type: event.TypeAdjustment, Payload: event.Adjustment{Adjusts: 11, Amount: 1, Reason: "x"}},
		"adjusts nothing":     {Type: event.TypeAdjustment, Payload: event.Adjustment{Adjusts: 99, Amount: 1, Reason: "x"}},
		"settles a device":    {Type: event.TypeCost, Payload: event.Cost{Kind: "api", Amount: &n, Stage: "invoice", Settles: []int64{1}}},
		"measures a launch":   {Type: event.TypeMeasurement, Payload: event.Measurement{Prediction: 3}},
		"hardware of no name": {Type: event.TypeCost, Payload: event.Cost{Labels: event.Labels{Device: "Abacus"}, Kind: "hardware", Period: event.Period{Start: "2026-11-03T00:00:00Z", End: "2026-11-03T02:00:00Z"}}},
	} {
		e.Subject, e.Actor = "x", "test"
		_, err := l.Append(t.Context(), e)
		t.Run(name, func(t *testing.T) { wantCode(t, err, fault.InvalidArgument, "") })
	}
}

// An erased payload is nowhere in the ledger's files, and the chain holds.
func TestErase(t *testing.T) {
	dir := t.TempDir()
	l := story(t, dir)
	e, err := l.Event(t.Context(), 11)
	if err != nil || e.Payload != nil || e.Subject != "alice" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, seq := range []int64{11, 12, 99} { // erased already, an erasure, not there
		_, err := l.Erase(t.Context(), seq, "x", "test")
		wantCode(t, err, fault.InvalidArgument, "")
	}
	_, err = l.Erase(t.Context(), 1, "", "test")
	wantCode(t, err, fault.InvalidArgument, "reason")
	if v := verified(t, l); v.Size != 12 || v.ClockBack != 1 {
		t.Errorf("%+v", v)
	}
	forgotten(t, dir, "secret")
}

// forgotten checks that no file of a directory has a text.
func forgotten(t *testing.T, dir, text string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("%s still has the erased text", f.Name())
		}
	}
}

func TestExportAndImport(t *testing.T) {
	l := story(t, t.TempDir())
	var out bytes.Buffer
	if err := l.Export(t.Context(), &out, quiet); err != nil {
		t.Fatal(err)
	}
	key, err := l.VerifierKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := verified(t, l)
	w, damage, err := proof.VerifyExport(t.Context(), bytes.NewReader(out.Bytes()), key, nil, quiet)
	if err != nil || damage != nil || w.Root() != want.Root || w.Size() != 12 || w.Pinned() != 12 {
		t.Fatalf("%v %v", damage, err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	for name, c := range map[string]struct {
		text string
		kind proof.Kind
	}{
		"edited":        {strings.Replace(out.String(), `"amount_micro_usd":6100000`, `"amount_micro_usd":6100001`, 1), proof.Edited},
		"a line gone":   {strings.Replace(out.String(), lines[4], "", 1), proof.Missing},
		"the end gone":  {strings.Join(lines[:10], ""), proof.Truncated},
		"lines swapped": {strings.Join(append(append([]string{}, lines[:5]...), append([]string{lines[6], lines[5]}, lines[7:]...)...), ""), proof.Missing},
	} {
		_, damage, err := proof.VerifyExport(t.Context(), strings.NewReader(c.text), key, nil, quiet)
		if err != nil || damage == nil || damage.Kind != c.kind {
			t.Errorf("%s: %v %v", name, damage, err)
		}
		into := open(t, t.TempDir(), ledger.Options{})
		_, err = into.Import(t.Context(), strings.NewReader(c.text), key)
		wantCode(t, err, fault.IntegrityViolation, "nothing was imported")
		if v := verified(t, into); v.Size != 0 {
			t.Errorf("%s: %d events were imported", name, v.Size)
		}
	}
	into := open(t, t.TempDir(), ledger.Options{})
	for _, added := range []int64{12, 0} { // a second time there is nothing new
		n, err := into.Import(t.Context(), bytes.NewReader(out.Bytes()), key)
		if err != nil || n != added {
			t.Errorf("%d events imported, %v; want %d", n, err, added)
		}
	}
	if v := verified(t, into); v.Root != want.Root {
		t.Errorf("the imported tree is %s, want %s", v.Root, want.Root)
	}
	add(t, into, note("x", "more"))
	add(t, l, note("x", "other"))
	out.Reset()
	if err := l.Export(t.Context(), &out, quiet); err != nil {
		t.Fatal(err)
	}
	_, err = into.Import(t.Context(), &out, key)
	wantCode(t, err, fault.InvalidArgument, "other events")
	_, err = into.Import(t.Context(), strings.NewReader("nonsense\n"), "")
	wantCode(t, err, fault.MalformedFile, "export")
}

func TestFocus(t *testing.T) {
	var out strings.Builder
	if err := story(t, t.TempDir()).ExportFocus(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "BilledCost,EffectiveCost,BillingCurrency,ChargeCategory,") {
		t.Fatalf("%s", out.String())
	}
	for i, want := range []string{
		"0.000000,0.108333,USD,Usage,", "0.000000,0.182410,USD,Usage,,run-1,2026-11-03T00:00:00Z,2026-11-03T02:00:00Z,",
		"0.000000,0.000000,USD,Usage,", "6.100000,6.100000,USD,Usage,", "-0.100000,-0.100000,USD,Adjustment,Correction,credit,",
	} {
		if !strings.HasPrefix(lines[i+1], want) {
			t.Errorf("line %d is %s, want %s", i+1, lines[i+1], want)
		}
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	l := story(t, dir)
	path := filepath.Join(t.TempDir(), "ledger.db")
	v, err := l.Backup(t.Context(), path)
	if err != nil || v.Damage != nil || v.Size != 12 {
		t.Fatalf("%+v, %v", v, err)
	}
	_, err = l.Backup(t.Context(), path)
	wantCode(t, err, fault.InvalidArgument, "there already")
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the copy's mode is %v, %v", info.Mode(), err)
	}
	// The copy is a ledger, which anybody verifies with the key's public half.
	again, err := ledger.Open(t.Context(), filepath.Dir(path), ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if w := verified(t, again); w.Size != 12 {
		t.Errorf("%+v", w)
	}
	_, err = again.Append(t.Context(), note("x", "y"))
	wantCode(t, err, fault.Denied, "reading only")
}

func TestProofs(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	var receipts []ledger.Receipt
	var early ledger.SignedCheckpoint
	for i := range 70 {
		receipts = append(receipts, add(t, l, note("x", strings.Repeat("y", i))))
		if i == 20 {
			var err error
			if early, err = l.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	public, err := l.VerifierKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := signed.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		text, err := l.Prove(t.Context(), r.Seq)
		if err != nil {
			t.Fatal(err)
		}
		p, err := proof.ParseInclusion(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.Check(r.Leaf, v)
		if err != nil || c.Size < r.Seq || p.Index != r.Seq-1 {
			t.Errorf("event %d: %+v %v", r.Seq, c, err)
		}
	}
	late, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path, err := l.Consistency(t.Context(), early.Size, late.Size)
	if err != nil || tlog.CheckTree(path, late.Size, late.Root, early.Size, early.Root) != nil {
		t.Errorf("%v", err)
	}
	for _, seq := range []int64{0, -1, 71} {
		_, err := l.Prove(t.Context(), seq)
		wantCode(t, err, fault.InvalidArgument, "1 to 70")
	}
	_, err = l.Consistency(t.Context(), 50, 20)
	wantCode(t, err, fault.InvalidArgument, "")
}
