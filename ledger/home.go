package ledger

import (
	"os"
	"path/filepath"
	"runtime"

	"hwledger/internal/fault"
)

// Home returns the directory of this user's ledger: below $HWLEDGER_HOME, else
// the XDG data directory ($XDG_DATA_HOME, ~/.local/share), or on Windows
// %LocalAppData%.
func Home(getenv func(string) string) (string, error) {
	if home := getenv("HWLEDGER_HOME"); home != "" {
		return filepath.Join(home, "ledger"), nil
	}
	if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "hwledger", "ledger"), nil
	}
	if data := getenv("LocalAppData"); runtime.GOOS == "windows" && data != "" {
		return filepath.Join(data, "hwledger", "ledger"), nil
	}
	home := getenv("HOME")
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", fault.New(fault.Denied, "HWLEDGER_HOME", "there is no home directory to keep the ledger in").WithHint("set HWLEDGER_HOME to a directory").WithCause(err)
		}
	}
	return filepath.Join(home, ".local", "share", "hwledger", "ledger"), nil
}
