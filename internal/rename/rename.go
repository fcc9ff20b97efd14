// Package rename puts a file in the place of another while others read that.
package rename

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
)

// patience is how long somebody else may have the file open.
const patience = 5 * time.Second

// Over is os.Rename. Windows does not replace a file that is open, be it by a
// reader or a scanner for viruses; there it is tried again until nobody has it.
func Over(from, to string) error {
	err := os.Rename(from, to)
	end := time.Now().Add(patience)
	for pause := time.Millisecond; inUse(err) && time.Now().Before(end); pause = min(2*pause, 10*time.Millisecond) {
		time.Sleep(pause) // nobody is told when a file is closed
		err = os.Rename(from, to)
	}
	return err
}

// inUse reports whether an error of Windows may be for the file being open.
func inUse(err error) bool {
	const accessDenied, sharingViolation = syscall.Errno(5), syscall.Errno(32)
	return runtime.GOOS == "windows" && (errors.Is(err, accessDenied) || errors.Is(err, sharingViolation))
}
