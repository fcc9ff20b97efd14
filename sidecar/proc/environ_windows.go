package proc

import (
	"slices"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Marked reports whether the process has mark, NAME=value, in its environment.
func Marked(pid int, mark string) bool {
	return mark != "" && hasVariable(environ(pid), mark)
}

// maxEnviron bounds an environment that is read, in bytes.
const maxEnviron = 4 << 20

// environ reads the environment of a process, as Windows keeps it: UTF-16,
// each variable with a zero at its end. It is nil when it cannot be read, as
// those of other users and of processes of another word size.
func environ(pid int) []uint16 {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.PROCESS_VM_READ, false, uint32(pid))
	if err != nil {
		return nil
	}
	defer windows.CloseHandle(h)
	var p windows.PROCESS_BASIC_INFORMATION
	if windows.NtQueryInformationProcess(h, windows.ProcessBasicInformation, unsafe.Pointer(&p), uint32(unsafe.Sizeof(p)), nil) != nil || p.PebBaseAddress == nil {
		return nil
	}
	read := func(at uintptr, to unsafe.Pointer, size uintptr) bool {
		var n uintptr
		return windows.ReadProcessMemory(h, at, (*byte)(to), size, &n) == nil && n == size
	}
	var parameters, block, size uintptr
	const word = unsafe.Sizeof(parameters)
	if !read(uintptr(unsafe.Pointer(p.PebBaseAddress))+unsafe.Offsetof(windows.PEB{}.ProcessParameters), unsafe.Pointer(&parameters), word) ||
		!read(parameters+unsafe.Offsetof(windows.RTL_USER_PROCESS_PARAMETERS{}.Environment), unsafe.Pointer(&block), word) ||
		!read(parameters+unsafe.Offsetof(windows.RTL_USER_PROCESS_PARAMETERS{}.EnvironmentSize), unsafe.Pointer(&size), word) ||
		size < 2 || size > maxEnviron {
		return nil
	}
	out := make([]uint16, size/2)
	if !read(block, unsafe.Pointer(&out[0]), uintptr(len(out))*2) {
		return nil
	}
	return out
}

// hasVariable reports whether the environment has exactly this variable.
func hasVariable(env []uint16, variable string) bool {
	want := utf16.Encode([]rune(variable))
	for len(env) > 0 {
		end := slices.Index(env, 0)
		if end < 0 {
			end = len(env)
		}
		if slices.Equal(env[:end], want) {
			return true
		}
		env = env[min(end+1, len(env)):]
	}
	return false
}
