package tools

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/sidecar"
)

// SidecarSet is the toolset of engines that run here.
const SidecarSet Toolset = "sidecar"

// Sidecars is what the sidecar tools work with.
type Sidecars struct {
	Manager  *sidecar.Manager
	Programs *sidecar.Programs
	// Roots are the folders of which models may be loaded.
	Roots []string
	// Local is this machine as plans take it, and for each of its devices the
	// pool of memory that it is; nil for what the manager's probe lists.
	Local func(context.Context) (engine.Hardware, []string, error)
	// Helper says how the engines that are helpers are run. It starts nothing.
	Helper func(engine string) (*sidecar.Helper, error)
}

// ready returns an error where there are no sidecars.
func (s *Sidecars) ready() error {
	if s == nil || s.Manager == nil {
		return model.Errorf(model.NotReady, "", "no sidecars can run here")
	}
	return nil
}

// LogReader reads engines' logs for sidecars.
type LogReader struct{}

// Read returns what the log says; nothing when no engine is recognised.
func (LogReader) Read(_, log string) sidecar.Reading {
	if len(log) > enginelog.MaxLog {
		log = log[:enginelog.MaxLog]
	}
	r, err := enginelog.Parse(log)
	if err != nil {
		return sidecar.Reading{}
	}
	out := sidecar.Reading{Version: r.Version}
	sums := map[string]int{}
	for i := range r.Actual {
		a := &r.Actual[i]
		name := a.Category.String()
		at, there := sums[name]
		if !there {
			at = len(out.Measured)
			sums[name] = at
			out.Measured = append(out.Measured, sidecar.Figure{Name: name})
		}
		out.Measured[at].Bytes += int64(a.Bytes)
	}
	return out
}

// SidecarInfo is a sidecar as it is now: the output of launch_sidecar and
// get_sidecar.
type SidecarInfo struct {
	ID        string           `json:"id"`
	State     sidecar.State    `json:"state"`
	Reason    string           `json:"reason,omitempty"`
	Endpoint  string           `json:"endpoint,omitempty"`
	About     SidecarAbout     `json:"about"`
	Access    *SidecarAccess   `json:"access,omitempty"`
	Predicted []sidecar.Figure `json:"predicted"`
	Measured  []sidecar.Figure `json:"measured"`
	// Differences are the figures that are both predicted and measured.
	Differences []MeasuredBeside `json:"differences,omitempty"`
	Reservation int64            `json:"reservation_bytes,omitempty"`
	Failure     *sidecar.Failure `json:"failure,omitempty"`
	LogTail     []string         `json:"log_tail,omitempty"`
	// Plan is what a launch was planned with.
	Plan *SidecarPlan `json:"plan,omitempty"`
}

// SidecarAbout is what a sidecar is and how it does.
type SidecarAbout struct {
	Name       string           `json:"name,omitempty"`
	Engine     string           `json:"engine"`
	Version    string           `json:"engine_version,omitempty"`
	Model      string           `json:"model"`
	Lifetime   sidecar.Lifetime `json:"lifetime"`
	PID        int              `json:"pid,omitempty"`
	Created    string           `json:"created"`
	ReadyAfter float64          `json:"ready_after_seconds,omitempty"`
	Restarts   int              `json:"restarts,omitempty"`
	Calls      int              `json:"calls,omitempty"`
	Resident   int64            `json:"resident_bytes,omitempty"`
	LogFile    string           `json:"log_file,omitempty"`
}

// SidecarAccess is for other OpenAI-compatible clients: the address, and the
// file with the key that they need.
type SidecarAccess struct {
	BaseURL string `json:"base_url"`
	KeyFile string `json:"api_key_file,omitempty"`
}

// SidecarPlan is what was assumed, and what to know.
type SidecarPlan struct {
	Verdict string              `json:"verdict"`
	Assumed []engine.Assumption `json:"assumed"`
	Notes   []string            `json:"notes"`
}

// MeasuredBeside is a predicted figure beside the one that was measured.
type MeasuredBeside struct {
	Name      string `json:"name"`
	Predicted int64  `json:"predicted_bytes"`
	Measured  int64  `json:"measured_bytes"`
	// Percent is how far the measured figure is from the predicted one.
	Percent float64 `json:"percent"`
}

func newSidecarInfo(st *sidecar.Status) *SidecarInfo {
	clean := func(s string) string { return lookup.Clean(s, lookup.MaxText) }
	out := &SidecarInfo{
		ID: st.ID, State: st.State, Reason: clean(st.Reason), Endpoint: st.Endpoint,
		About: SidecarAbout{
			Name: clean(st.Name), Engine: st.Engine, Version: clean(st.Version), Model: clean(st.Model), Lifetime: st.Lifetime, PID: st.PID,
			Created: st.Created.UTC().Format(time.RFC3339), ReadyAfter: float64(st.Took.Milliseconds()) / 1000, Restarts: st.Restarts, Calls: st.Calls,
			Resident: st.Resident, LogFile: st.Log,
		},
		Predicted: append([]sidecar.Figure{}, st.Predicted...), Measured: append([]sidecar.Figure{}, st.Measured...),
	}
	if st.BaseURL != "" {
		out.Access = &SidecarAccess{st.BaseURL, st.KeyFile}
	}
	for _, n := range st.Reserve {
		out.Reservation += n
	}
	if f := st.Failure; f != nil {
		c := *f
		c.Cause = clean(c.Cause)
		c.Lines = nil
		for _, l := range f.Lines {
			c.Lines = append(c.Lines, clean(l))
		}
		out.Failure = &c
	}
	for _, p := range st.Predicted {
		for _, m := range st.Measured {
			if m.Name == p.Name && p.Bytes > 0 {
				percent := round3(100 * float64(max(m.Bytes-p.Bytes, p.Bytes-m.Bytes)) / float64(p.Bytes))
				if m.Bytes < p.Bytes {
					percent = -percent
				}
				out.Differences = append(out.Differences, MeasuredBeside{Name: p.Name, Predicted: p.Bytes, Measured: m.Bytes, Percent: percent})
			}
		}
	}
	return out
}

// tail adds the last lines of the log.
func (i *SidecarInfo) tail(m *sidecar.Manager, lines int) {
	const mostBytes = 16 << 10
	last, err := m.LogTail(i.ID, lines, mostBytes)
	if err != nil {
		return
	}
	for _, l := range last {
		i.LogTail = append(i.LogTail, lookup.Clean(l, mostBytes))
	}
}

// Text is the state first, then where it is and what it took.
func (i *SidecarInfo) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: sidecar %s", strings.ToUpper(string(i.State)), i.ID)
	if i.About.Name != "" {
		fmt.Fprintf(&b, " (%s)", i.About.Name)
	}
	fmt.Fprintf(&b, ", %s on %s", i.About.Model, strings.TrimSpace(i.About.Engine+" "+i.About.Version))
	if i.Reason != "" {
		b.WriteString("; " + i.Reason)
	}
	b.WriteString(".\n")
	if i.Access != nil && i.State == sidecar.Ready {
		fmt.Fprintf(&b, "OpenAI-compatible at %s", i.Access.BaseURL)
		if i.Access.KeyFile != "" {
			fmt.Fprintf(&b, ", with the key in %s", i.Access.KeyFile)
		}
		b.WriteString(".\n")
	}
	for _, d := range i.Differences {
		fmt.Fprintf(&b, "%s: measured %s, predicted %s (%+.3g %%).\n", d.Name, engine.Bytes(d.Measured), engine.Bytes(d.Predicted), d.Percent)
	}
	if f := i.Failure; f != nil {
		fmt.Fprintf(&b, "Failure (%s): %s.\n", strings.ReplaceAll(f.Kind, "_", " "), strings.TrimSuffix(f.Cause, "."))
		for _, l := range f.Lines {
			b.WriteString("  " + l + "\n")
		}
	}
	if i.Plan != nil {
		for _, note := range i.Plan.Notes[:min(len(i.Plan.Notes), textNotes)] {
			fmt.Fprintf(&b, "Note: %s.\n", strings.TrimSuffix(note, "."))
		}
	}
	switch i.State {
	case sidecar.Starting:
		b.WriteString("Next: get_sidecar until it is ready.\n")
	case sidecar.Ready:
		b.WriteString("Next: call_sidecar, and stop_sidecar when it is not needed.\n")
	}
	return b.String()
}
