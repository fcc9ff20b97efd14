package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Took is what one start of an engine took of one term of its plan. Amounts
// are of one device, or of the host. In JSON it is a part of a measurement,
// which says the rest.
type Took struct {
	Engine  string `json:"-"`
	Version string `json:"-"`
	// Start names what was started: the model and its load. Starts of one name
	// are runs of the same.
	Start string `json:"-"`
	Term  string `json:"name"`
	// Device is the name of the device, HostDevice for the host.
	Device string `json:"device"`
	// Ranks is how the model was spread, as Load.Ranks returns it.
	Ranks string `json:"ranks"`
	// Planned is what the plan had without any history; Bytes is what it took.
	Planned Bytes `json:"planned_bytes"`
	Bytes   Bytes `json:"bytes"`
}

// HostDevice is the device of what is in the system's memory.
const HostDevice = "host"

// Ranks names how the load spreads a model: tensor × pipeline parallel sizes.
func (l *Load) Ranks() string {
	return fmt.Sprintf("%dx%d", max(1, l.TensorParallel), max(1, l.PipelineParallel))
}

// History is what earlier starts on the same hardware took.
type History struct {
	// Start names what is planned now, as Took.Start names what was started.
	Start string
	// Took is the newest first.
	Took []Took
}

// Open reports a term that history says more of than the rules do: memory
// beside the cache for which the plan has a range.
func (t *Term) Open() bool {
	return t.High > t.Low && (t.Category == Weights || t.Category == Workspace || t.Category == Runtime)
}

// FromHistory is the source of terms that history corrected.
const FromHistory = "starts on this machine, in its ledger"

// Release is the release of the engine that started last, "" when none did.
func (h *History) Release(name string) string {
	for i := range h.Took {
		if k := &h.Took[i]; k.Engine == name && k.Version != "" {
			return k.Version
		}
	}
	return ""
}

// Correct replaces, in place, what the rules say of open terms by what starts of
// the engine on this hardware took of them, and returns the terms. Those that it
// has no start of stay.
//
// What the same start took before it takes again. A start of another model tells
// a term's size in two ways: it took so much more than planned, or so many times
// as much. For terms that do not depend on the model both say the same; for the
// others the term is put between the two, and its range covers both. What a
// process takes at run time is the machine's, and believed as it is; weights and
// workspaces are the model's, and where another one was outside the rules' range
// the rules may be wrong on that one alone, so this one stays in its range. The
// rules' own range is kept around it all, and a part of it once there are
// enoughStarts kinds of starts, or the same one.
func (hw *Hardware) Correct(name string, l *Load, terms []Term) []Term {
	if len(hw.History.Took) == 0 {
		return terms
	}
	for i := range terms {
		if t := &terms[i]; t.Open() {
			hw.correct(name, l.Version, l.Ranks(), t)
		}
	}
	return terms
}

// enoughStarts are as many kinds of starts as show a spread of their own: then
// one part in keptRange of the rules' range is kept around it. Keeping none, or
// half, holds no more of the rows that internal/calibrate leaves out.
const (
	enoughStarts = 4
	keptRange    = 4
)

func (hw *Hardware) correct(name, version, ranks string, t *Term) {
	kinds, alike := hw.kinds(name, version, ranks, t)
	if len(kinds) == 0 {
		return
	}
	below, above := t.Bytes-min(t.Low, t.Bytes), max(t.High, t.Bytes)-t.Bytes
	if len(kinds) >= enoughStarts || alike == sameStart {
		below, above = below/keptRange, above/keptRange
	}
	var mids []Bytes
	low, high := kinds[0].low, kinds[0].high
	for _, k := range kinds {
		mids = append(mids, k.mid)
		low, high = min(low, k.low), max(high, k.high)
	}
	slices.Sort(mids)
	mid := (mids[(len(mids)-1)/2] + mids[len(mids)/2]) / 2
	low, high = low-below, high+above
	if alike == otherRelease { // it may count otherwise
		low, high = min(low, t.Low), max(high, t.High)
	}
	t.Inputs = append(slices.Clone(t.Inputs), Input{Name: "planned_without", Value: int64(t.Bytes), From: "rules"}, Input{Name: "kinds_of_starts", Value: int64(len(kinds)), From: "ledger"})
	t.Bytes, t.Low, t.High = mid, min(max(low, min(t.Low, 0)), mid), max(high, mid)
	t.Confidence, t.Source = Measured, FromHistory
	t.Formula = strings.TrimPrefix(t.Formula+"; corrected by what starts here took", "; ")
}

// estimate is what one kind of start says of a term.
type estimate struct{ low, mid, high Bytes }

// likeness is how alike starts are to the plan.
type likeness int

const (
	otherRelease likeness = iota
	sameRelease
	sameStart
)

// kinds returns what each kind of start says of the term, and how alike they
// are: the same start alone, else those of the same release, else all. The
// newest run of each counts.
func (hw *Hardware) kinds(name, version, ranks string, t *Term) ([]estimate, likeness) {
	device := hw.DeviceOf(t)
	var all, here []estimate
	var seen, seenHere []string
	for i := range hw.History.Took {
		k := &hw.History.Took[i]
		if k.Engine != name || k.Term != t.Name || k.Device != device || k.Ranks != ranks {
			continue
		}
		if k.Start != "" && k.Start == hw.History.Start {
			n := within(float64(k.Bytes))
			return []estimate{{n, n, n}}, sameStart
		}
		if !slices.Contains(seen, k.Start) {
			seen, all = append(seen, k.Start), append(all, k.estimate(t))
		}
		if Series(k.Version) == Series(version) && !slices.Contains(seenHere, k.Start) {
			seenHere, here = append(seenHere, k.Start), append(here, k.estimate(t))
		}
	}
	if len(here) > 0 {
		return here, sameRelease
	}
	return all, otherRelease
}

// estimate is what the start says of the term of another.
func (k *Took) estimate(t *Term) estimate {
	took, then := within(float64(k.Bytes)), within(float64(k.Planned))
	shifted := max(t.Bytes+took-then, 0)
	scaled := shifted
	if then > 0 && t.Bytes > 0 {
		scaled = within(float64(t.Bytes) * float64(took) / float64(then))
	}
	if t.Category != Runtime {
		shifted, scaled = min(max(shifted, t.Low), t.High), min(max(scaled, t.Low), t.High)
	}
	return estimate{min(shifted, scaled), (shifted + scaled) / 2, max(shifted, scaled)}
}

// within keeps sizes that a record claims far from the end of int64.
func within(bytes float64) Bytes { return Bytes(min(max(bytes, 0), 1<<50)) }

// DeviceOf names where a term is, as Took does.
func (hw *Hardware) DeviceOf(t *Term) string {
	if len(t.On) == 0 || t.On[0] >= len(hw.Devices) || hw.Devices[t.On[0]].Vendor == "cpu" {
		return HostDevice
	}
	return hw.Devices[t.On[0]].Name
}

// Series is the part of a release within which engines are taken to count
// memory alike: "0.19" of "v0.19.2rc1"; the whole of one without such numbers.
func Series(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(strings.TrimSpace(version), "v"), ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}
