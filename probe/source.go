package probe

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"time"
)

// Source is one way of learning about hardware.
type Source struct {
	Name string
	// OS lists the systems it exists on, empty for all.
	OS []string
	// Every is how long an answer may be used again: what is static and slow
	// to ask for. 0 asks each time.
	Every time.Duration
	// Instead says whether to ask, from what the sources before found: those
	// that are slower or know less than another are asked in its place. nil
	// asks always.
	Instead func(found []Device) bool
	// Read asks. It returns when ctx ends, or is left behind.
	Read func(ctx context.Context, sys *System) Reading
	// Close gives back what Read keeps open, nil when nothing.
	Close func()
}

// Reading is what a source answered.
type Reading struct {
	State   State
	Reason  string
	Hint    string
	Devices []Device
	Links   []Link
	Host    *Host
	Disks   []Disk
}

// Sources are all there are, the surest first: where two know the same
// device, the first one's value stands. A new source is one line here.
func Sources() []Source {
	return []Source{
		hostSource(),
		diskSource(),
		nvmlSource(),
		nvidiaSMISource(),
		amdgpuSource(),
		amdSMISource(),
		rocmSMISource(),
		appleSource(),
		macmonSource(),
		displaysSource(),
		powermetricsSource(),
		intelSource(),
		xpuSMISource(),
		accelSource(),
		pciSource(),
		tegrastatsSource(),
		nvtopSource(),
		windowsSource(),
	}
}

// absent is the reading of a source that is not here.
func absent(reason, hint string) Reading {
	return Reading{State: Absent, Reason: reason, Hint: hint}
}

// failed is the reading for a command that did not do.
func failed(err error, name, hint string) Reading {
	var e *ExecError
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return absent(name+" is not installed", hint)
	case errors.Is(err, fs.ErrPermission):
		return Reading{State: Denied, Reason: name + " may not be run", Hint: hint}
	case errors.As(err, &e):
		return Reading{State: Unsupported, Reason: e.Error(), Hint: hint}
	}
	return Reading{State: Unsupported, Reason: name + ": " + oneLine(err.Error()), Hint: hint}
}

// on reports whether the source exists on an operating system.
func (s *Source) on(os string) bool { return len(s.OS) == 0 || slices.Contains(s.OS, os) }

// unread is as lacks, for tools that are slow to start: they are run only where
// one of the sources before shows a device of the vendor, as the list of the
// bus does wherever there is one.
func unread(vendor string) func([]Device) bool {
	ask := lacks(vendor)
	return func(found []Device) bool {
		return ask(found) && slices.ContainsFunc(found, func(d Device) bool { return d.Vendor == vendor && d.Excluded != isAsleep })
	}
}

// lacks returns an Instead that asks while no device of a vendor has its
// memory known, or explained as something that the device does not report.
func lacks(vendor string) func([]Device) bool {
	return func(found []Device) bool {
		return !slices.ContainsFunc(found, func(d Device) bool {
			return d.Vendor == vendor && (d.Total.Known() || d.Total.State == Unsupported && d.Utilization.Known())
		})
	}
}
