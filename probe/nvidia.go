package probe

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// NVML's return codes that mean a state of the whole driver. nvidia-smi ends
// with the same numbers.
const (
	nvmlNotSupported   = 3
	nvmlNoPermission   = 4
	nvmlNotLoaded      = 9
	nvmlNoLibrary      = 12
	nvmlLost           = 15
	nvmlMismatch       = 18
	nvmlNotFoundSymbol = 13
)

// nvidiaFailure says what a code means that NVIDIA's library or tool failed
// with, and what to do about it.
func nvidiaFailure(sys *System, code int) Reading {
	cards := len(nvidiaCards(sys))
	if cards == 0 && sys.OS == "linux" && (code == nvmlNoLibrary || code == nvmlNotLoaded) && !sys.exists("dev/nvidiactl") {
		return absent("no NVIDIA driver is here, and the PCI bus shows no NVIDIA card", "")
	}
	inContainer := container(sys)
	contained := inContainer.Known() && inContainer.Value != "none"
	switch code {
	case nvmlNoLibrary, nvmlNotFoundSymbol:
		if contained {
			return absent("an NVIDIA card is here, and no driver library in this container",
				"start the container with --gpus all (nvidia-container-toolkit), with utility among NVIDIA_DRIVER_CAPABILITIES")
		}
		return absent("an NVIDIA card is here, and no driver library", "install the NVIDIA driver")
	case nvmlNotLoaded:
		if contained {
			return absent("the driver library is in this container, and its devices are not",
				"start the container with --gpus all or a CDI device (nvidia-container-toolkit)")
		}
		return absent("the driver's kernel module is not loaded", "load it (modprobe nvidia) or install the driver for this kernel; with Secure Boot its module must be signed")
	case nvmlMismatch:
		r := Reading{State: Unsupported, Reason: "the driver's library and its kernel module are of two versions (NVML 18)",
			Hint: "restart the machine, or reload the nvidia modules: the driver was upgraded while it ran"}
		if v := kernelDriver(sys.text("proc/driver/nvidia/version")); v != "" {
			r.Reason += ": the module is " + v
		}
		return r
	case nvmlNoPermission:
		return Reading{State: Denied, Reason: "the driver refuses this user", Hint: "give this user access to /dev/nvidia*"}
	case nvmlLost:
		return Reading{State: Unsupported, Reason: "the driver has lost a card (it fell off the bus, or overheated)", Hint: "look for Xid messages in the kernel log; a restart brings it back if it is sound"}
	case 999:
		return Reading{State: Denied, Reason: "the driver fails with an unknown error (NVML 999)",
			Hint: "in a container this is what is left after systemctl daemon-reload took its devices: restart the container"}
	}
	return Reading{State: Unsupported, Reason: "the driver fails with " + nvmlName(code), Hint: "nvidia-smi and the kernel log may say more"}
}

// nvmlName names a return code of NVML.
func nvmlName(code int) string {
	names := map[int]string{
		1: "uninitialized", 2: "invalid argument", 3: "not supported", 4: "no permission", 6: "not found", 7: "insufficient size", 8: "insufficient power",
		9: "driver not loaded", 10: "timeout", 11: "interrupt problem", 12: "library not found", 13: "function not found", 14: "corrupted infoROM",
		15: "GPU is lost", 16: "reset required", 17: "blocked by the operating system", 18: "driver and library mismatch", 19: "in use", 20: "out of memory", 999: "unknown error",
	}
	if n, ok := names[code]; ok {
		return fmt.Sprintf("NVML error %d (%s)", code, n)
	}
	return fmt.Sprintf("NVML error %d", code)
}

// kernelDriver reads the version of the loaded kernel module from
// /proc/driver/nvidia/version.
func kernelDriver(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	for _, w := range strings.Fields(line) {
		if w[0] >= '0' && w[0] <= '9' && strings.Contains(w, ".") && len(w) < 24 {
			return oneLine(w)
		}
	}
	return ""
}

// nvidiaCards lists the PCI addresses of NVIDIA's devices with whether they
// are suspended.
func nvidiaCards(sys *System) map[string]bool {
	out := map[string]bool{}
	for _, address := range sys.dir("sys/bus/pci/devices") {
		dir := path.Join("sys/bus/pci/devices", address)
		if sys.text(dir+"/vendor") == "0x10de" && accelerates(sys.text(dir+"/class")) {
			out[address] = asleep(sys, address)
		}
	}
	return out
}

// sleepers splits NVIDIA's cards into those that may be asked and those that
// asking would wake.
func sleepers(sys *System) (awake []string, suspended []Device) {
	for address, sleeps := range nvidiaCards(sys) {
		if !sleeps {
			awake = append(awake, address)
			continue
		}
		d := Device{ID: address, PCI: address, Vendor: "nvidia", Index: -1, Kind: Dedicated, Excluded: isAsleep}
		d.Total = missing[int64]("power", Absent, isAsleep)
		suspended = append(suspended, d)
	}
	return awake, suspended
}

// hostPIDs is the reason of a list whose PIDs mean other processes here.
const hostPIDs = "the PIDs are the host's: this container's processes have others there"

// qualify says of the devices' lists of processes what they are not: complete,
// or by the PIDs that are seen here. In a container the driver lists the
// host's PIDs, or nothing; Windows lists nothing to its Linux.
func qualify(sys *System, devices []Device) {
	inside, guest := container(sys), wsl(sys)
	contained := inside.Known() && inside.Value != "none"
	for i := range devices {
		list := &devices[i].Processes
		switch {
		case list.State != OK:
		case guest.Known() && guest.Value != "no":
			list.Reason = "not all: Windows does not list processes to its Linux"
		case !contained:
		case len(list.Value) == 0:
			list.Reason = "not all: a container may not be shown its own"
		case slices.ContainsFunc(list.Value, func(p Process) bool { return !sys.exists(fmt.Sprintf("proc/%d", p.PID)) }):
			list.Reason = hostPIDs
		}
	}
}

// integrated are names of NVIDIA's chips whose GPU shares the system's memory
// and reports none, or less than it can use, of its own.
var integrated = []string{"GB10", "N1X", "Thor", "Orin", "Xavier", "Tegra", "nvgpu"}

// sharesMemory reports whether an NVIDIA device that does not report memory
// is one that shares the system's: by its name or its addressing mode.
func sharesMemory(name, addressing string) bool {
	for _, chip := range integrated {
		if strings.Contains(name, chip) {
			return true
		}
	}
	return addressing == "ATS"
}

// address returns a PCI address as Linux writes it: lower case, a domain of
// four digits, from any form of NVIDIA's ("00000000:01:00.0").
func address(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	domain, rest, ok := strings.Cut(s, ":")
	if !ok || len(rest) < 7 {
		return s
	}
	if len(domain) > 4 && strings.Trim(domain[:len(domain)-4], "0") == "" {
		domain = domain[len(domain)-4:]
	}
	return oneLine(domain + ":" + rest)
}
