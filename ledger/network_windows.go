package ledger

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// mountType returns "smb" for directories of other machines, else "".
func mountType(dir string) string {
	volume := filepath.VolumeName(dir)
	if strings.HasPrefix(volume, `\\`) {
		return "smb"
	}
	root, err := windows.UTF16PtrFromString(volume + `\`)
	if err == nil && windows.GetDriveType(root) == windows.DRIVE_REMOTE {
		return "smb"
	}
	return ""
}
