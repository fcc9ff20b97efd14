package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"hwledger/ledger/event"
	"hwledger/ledger/proof"
)

// fold projects the events that src has after those which dst has projected,
// at most most of them.
func fold(ctx context.Context, src queryer, dst *sql.Conn, most int64) error {
	f := folder{ctx: ctx, dst: dst, prepared: map[string]*sql.Stmt{}}
	defer f.close()
	if err := dst.QueryRowContext(ctx, "SELECT seq FROM projection").Scan(&f.last); err != nil {
		return err
	}
	rows, err := src.QueryContext(ctx, "SELECT "+recordColumns+" FROM events WHERE seq > ? ORDER BY seq LIMIT ?", f.last, most)
	if err != nil {
		return err
	}
	defer rows.Close() // its error is in Err
	s := scanner{rows: rows}
	for rows.Next() {
		if err := s.scan(); err != nil {
			return err
		}
		if err := f.event(&s.record); err != nil {
			return err
		}
		f.last = s.record.Seq
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := f.writeDays(); err != nil {
		return err
	}
	return f.exec("UPDATE projection SET seq = ?", f.last)
}

// folder writes projections.
type folder struct {
	ctx      context.Context
	dst      *sql.Conn
	last     int64
	prepared map[string]*sql.Stmt
	days     []span
}

// span are the events of one day.
type span struct{ day, first, last int64 }

func (f *folder) close() {
	for _, s := range f.prepared {
		s.Close() // nothing depends on it
	}
}

func (f *folder) stmt(text string) (*sql.Stmt, error) {
	if s := f.prepared[text]; s != nil {
		return s, nil
	}
	s, err := f.dst.PrepareContext(f.ctx, text)
	if err == nil {
		f.prepared[text] = s
	}
	return s, err
}

func (f *folder) exec(text string, args ...any) error {
	s, err := f.stmt(text)
	if err == nil {
		_, err = s.ExecContext(f.ctx, args...)
	}
	return err
}

// facts is what projections take from any payload.
type facts struct {
	event.Labels
	event.Memory
	event.Energy
	Low        *int64         `json:"low_bytes"`
	High       *int64         `json:"high_bytes"`
	Prediction int64          `json:"prediction"`
	Peak       *int64         `json:"peak_bytes"`
	Code       *int64         `json:"code"`
	Reason     string         `json:"reason"`
	Kind       string         `json:"kind"`
	Stage      string         `json:"stage"`
	Amount     int64          `json:"amount_micro_usd"`
	Settles    []int64        `json:"settles"`
	Adjusts    int64          `json:"adjusts"`
	Start      string         `json:"period_start"`
	Price      *int64         `json:"price_micro_usd"`
	Life       *int64         `json:"life_hours"`
	Use        *int64         `json:"utilization_percent"`
	Figures    []event.Figure `json:"figures"`
}

// event projects one event.
func (f *folder) event(r *proof.Record) error {
	f.day(r)
	if r.Erased() {
		return nil
	}
	var p facts
	if err := json.Unmarshal(r.Payload, &p); err != nil {
		return nil // damaged; verifying says so
	}
	if p.Model != "" || p.Engine != "" || p.Device != "" {
		if err := f.exec("INSERT INTO labels VALUES (?, ?, ?, ?)", r.Seq, null(p.Model), null(p.Engine), null(p.Device)); err != nil {
			return err
		}
	}
	switch event.Type(r.Type) {
	case event.TypePrediction:
		return f.exec("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", r.Seq, r.Subject, null(p.Model), null(p.Engine), null(p.Device), p.Required, p.Low, p.High)
	case event.TypeMeasurement:
		return f.measurement(r, &p)
	case event.TypeCost:
		return f.cost(r, &p)
	case event.TypeAdjustment:
		return f.exec("UPDATE costs SET adjusted = adjusted + ? WHERE seq = ?", p.Amount, p.Adjusts)
	case event.TypeDevice:
		return f.exec("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last_seq = excluded.last_seq, price = coalesce(excluded.price, price), life = coalesce(excluded.life, life), use = coalesce(excluded.use, use)",
			p.Device, r.Seq, r.Seq, p.Price, p.Life, p.Use)
	case event.TypeLaunch:
		return f.exec("INSERT INTO runs (launch_seq, subject, model, engine, device, launched_us, required_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
			r.Seq, r.Subject, null(p.Model), null(p.Engine), null(p.Device), r.Micros, p.Required)
	case event.TypeExit:
		return f.exit(r, &p)
	}
	return nil
}

// measurement pairs what was measured with the prediction it names, or with
// the last one of its subject; or part by part, when it says what was
// predicted of each.
func (f *folder) measurement(r *proof.Record, p *facts) error {
	if err := f.inherit(r, p); err != nil {
		return err
	}
	if err := f.energy(r, p); err != nil {
		return err
	}
	if p.Required == nil {
		return f.parts(r, p)
	}
	return f.exec(`INSERT INTO measured
		SELECT ?1, seq, ?2, ?3, ?4, ?5, required_bytes, ?6, ?6 BETWEEN low_bytes AND high_bytes
		FROM predictions WHERE seq = ?7 AND required_bytes IS NOT NULL`,
		r.Seq, r.Micros, null(p.Model), null(p.Engine), null(p.Device), *p.Required, p.Prediction)
}

// inherit finds the prediction that is measured, 0 when there is none, and
// takes from it what the measurement is of where that does not say so.
func (f *folder) inherit(r *proof.Record, p *facts) error {
	find, err := f.stmt("SELECT seq, coalesce(model, ''), coalesce(engine, ''), coalesce(device, '') FROM predictions WHERE seq = iif(?1 > 0, ?1, (SELECT max(seq) FROM predictions WHERE subject = ?2))")
	if err != nil {
		return err
	}
	var of event.Labels
	err = find.QueryRowContext(f.ctx, p.Prediction, r.Subject).Scan(&p.Prediction, &of.Model, &of.Engine, &of.Device)
	if errors.Is(err, sql.ErrNoRows) {
		p.Prediction = 0
		return nil
	}
	p.Model, p.Engine, p.Device = cmp.Or(p.Model, of.Model), cmp.Or(p.Engine, of.Engine), cmp.Or(p.Device, of.Device)
	return err
}

// parts adds up what was measured of those parts that have a prediction.
func (f *folder) parts(r *proof.Record, p *facts) error {
	var predicted, measured, low, high int64
	n, ranged := 0, true
	for _, x := range p.Figures {
		if x.Predicted == nil {
			continue
		}
		n++
		predicted, measured = predicted+*x.Predicted, measured+x.Bytes
		if x.Low == nil || x.High == nil {
			ranged = false
			continue
		}
		low, high = low+*x.Low, high+*x.High
	}
	if n == 0 {
		return nil
	}
	var within any
	if ranged {
		within = low <= measured && measured <= high
	}
	return f.exec("INSERT INTO measured VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.Seq, cmp.Or(p.Prediction, r.Seq), r.Micros, null(p.Model), null(p.Engine), null(p.Device), predicted, measured, within)
}

func (f *folder) energy(r *proof.Record, p *facts) error {
	if p.MilliJoules == nil && p.UnknownMS == 0 {
		return nil
	}
	return f.exec("INSERT INTO energy VALUES (?, ?, ?, ?, ?, ?, ?)", r.Seq, r.Micros, null(p.Model), null(p.Engine), null(p.Device), p.MilliJoules, p.UnknownMS)
}

func (f *folder) cost(r *proof.Record, p *facts) error {
	at := r.Micros
	if start, err := time.Parse(time.RFC3339, p.Start); err == nil {
		at = start.UnixMicro()
	}
	stage := p.Stage
	if stage == "" {
		stage = "estimate"
	}
	for _, seq := range p.Settles {
		if err := f.exec("UPDATE costs SET settled_seq = ? WHERE seq = ? AND stage = 'estimate' AND settled_seq IS NULL", r.Seq, seq); err != nil {
			return err
		}
	}
	return f.exec("INSERT INTO costs (seq, ts_us, model, engine, device, kind, stage, amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		r.Seq, at, null(p.Model), null(p.Engine), null(p.Device), p.Kind, stage, p.Amount)
}

// exit ends the subject's last run.
func (f *folder) exit(r *proof.Record, p *facts) error {
	if err := f.energy(r, p); err != nil {
		return err
	}
	return f.exec("UPDATE runs SET exit_seq = ?, exited_us = ?, code = ?, reason = ?, peak_bytes = ? WHERE launch_seq = (SELECT max(launch_seq) FROM runs WHERE subject = ?) AND exit_seq IS NULL",
		r.Seq, r.Micros, p.Code, null(p.Reason), p.Peak, r.Subject)
}

// dayMicros is a day in microseconds.
const dayMicros = 24 * int64(time.Hour/time.Microsecond)

// day notes which events a day has; days come in order but for a clock that
// is set.
func (f *folder) day(r *proof.Record) {
	day := floorDiv(r.Micros, dayMicros)
	if n := len(f.days); n > 0 && f.days[n-1].day == day {
		f.days[n-1].last = r.Seq
		return
	}
	f.days = append(f.days, span{day, r.Seq, r.Seq})
}

func (f *folder) writeDays() error {
	for _, d := range f.days {
		if err := f.exec("INSERT INTO days VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET first_seq = min(first_seq, excluded.first_seq), last_seq = max(last_seq, excluded.last_seq)", d.day, d.first, d.last); err != nil {
			return err
		}
	}
	return nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// null is SQL's null for no text.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
