package proc

import "testing"

// How a process ended is said in the words of its system.
func TestExitString(t *testing.T) {
	missing, unknown := uint32(0xC0000135), uint32(0xC0001234)
	for want, x := range map[string]Exit{
		"exit code 0": {}, "exit code 3": {Code: 3}, "exit code 65535": {Code: 0xFFFF}, "exit code 0xC0001234": {Code: int(unknown)}, "ended by signal: killed": {Code: -1, Signal: "killed"},
	} {
		if got := x.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (Exit{Code: int(missing)}).String(); got != "exit code 0xC0000135: a DLL that it needs is missing" {
		t.Errorf("%q", got)
	}
}
