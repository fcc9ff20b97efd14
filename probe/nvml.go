//go:build linux && cgo

package probe

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// nvmlSource reads NVIDIA's management library.
func nvmlSource() Source {
	l := &nvmlLibrary{}
	return Source{Name: "nvml", OS: []string{"linux"}, Read: l.read, Close: l.close}
}

// nvmlLibrary is the loaded library. Symbols are bound when they are first
// called, and one that the installed driver lacks ends the whole process: no
// function is called before Init succeeded, or without has. Bound symbols stay
// bound, so the library is never unloaded.
type nvmlLibrary struct {
	mu     sync.Mutex
	lib    nvml.Interface // nil until the library is loaded
	ready  bool           // Init succeeded and no failure since
	lookup map[string]bool
}

// libraries are where the library is: where the loader looks, and where
// Windows puts it for Linux.
var libraries = []string{"libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"}

// open loads and initializes the library; the result is a return code.
func (l *nvmlLibrary) open(sys *System) int {
	if l.lib == nil {
		paths := libraries
		if sys.NVML != "" {
			paths = []string{sys.NVML}
		}
		for _, path := range paths {
			if dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL).Open() == nil { // stays open
				l.lib, l.lookup = nvml.New(nvml.WithLibraryPath(path)), map[string]bool{}
				break
			}
		}
		if l.lib == nil {
			return nvmlNoLibrary
		}
	}
	if l.ready {
		return 0
	}
	r := l.lib.Init()
	l.ready = r == nvml.SUCCESS
	return int(r)
}

// close ends the use of the library; the next read begins anew. While one
// goes on, or hangs in the driver, there is nothing to close.
func (l *nvmlLibrary) close() {
	if l.mu.TryLock() {
		defer l.mu.Unlock()
		l.shutdown()
	}
}

func (l *nvmlLibrary) shutdown() {
	if l.ready {
		l.lib.Shutdown()
		l.ready = false
	}
}

// has reports whether the driver has a function, by one of its names.
func (l *nvmlLibrary) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		there, asked := l.lookup[name]
		if !asked {
			there = l.lib.Extensions().LookupSymbol(name) == nil
			l.lookup[name] = there
		}
		return there
	})
}

func (l *nvmlLibrary) read(_ context.Context, sys *System) Reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	awake, suspended := sleepers(sys)
	if len(suspended) > 0 && len(awake) == 0 {
		return Reading{State: OK, Reason: "all cards are suspended", Devices: suspended}
	}
	if code := l.open(sys); code != 0 {
		return nvidiaFailure(sys, code)
	}
	handles, gone, code := l.handles(awake, len(suspended) > 0)
	if code != 0 {
		l.shutdown()
		return nvidiaFailure(sys, code)
	}
	out := Reading{State: OK, Devices: suspended}
	system := l.versions()
	ids := make([]string, len(handles))
	for i, h := range handles {
		d := l.device(h, i, system)
		ids[i] = d.ID
		if d.Excluded == isLost {
			why := nvidiaFailure(sys, nvmlLost)
			out.Reason, out.Hint = why.Reason, why.Hint
			out.Devices = append(out.Devices, d)
			continue
		}
		parts := l.partitions(h, &d, system)
		out.Devices = append(append(out.Devices, d), parts...)
	}
	qualify(sys, out.Devices)
	out.Links = l.links(handles, ids)
	if len(gone) > 0 {
		why := nvidiaFailure(sys, nvmlLost)
		out.Reason, out.Hint = why.Reason, why.Hint
		out.Devices = append(out.Devices, lostCards(gone, awake, out.Devices)...)
	}
	if out.Hint != "" { // what is lost comes back in a new session only
		l.shutdown()
	}
	return out
}

// handles returns the devices: all of them, or the ones at the given places
// when others must not be woken; gone are the numbers of those that the driver
// has lost and gives no handle of.
func (l *nvmlLibrary) handles(awake []string, some bool) (out []nvml.Device, gone []int, code int) {
	if some && l.has("nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetHandleByPciBusId") {
		slices.Sort(awake)
		for _, address := range awake {
			if h, r := l.lib.DeviceGetHandleByPciBusId(address); r == nvml.SUCCESS {
				out = append(out, h)
			}
		}
		return out, nil, 0
	}
	if !l.has("nvmlDeviceGetCount_v2", "nvmlDeviceGetCount") || !l.has("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex") {
		return nil, nil, nvmlNotFoundSymbol
	}
	n, r := l.lib.DeviceGetCount()
	if r != nvml.SUCCESS {
		return nil, nil, int(r)
	}
	for i := range min(n, 256) {
		switch h, r := l.lib.DeviceGetHandleByIndex(i); r {
		case nvml.SUCCESS:
			out = append(out, h)
		case nvml.ERROR_GPU_IS_LOST:
			gone = append(gone, i)
		} // else one of another user's container
	}
	return out, gone, 0
}

// lostCards describes cards that there is no handle of. The driver numbers
// cards in the order of their places: when as many places have no card in
// found as there are lost cards, those are theirs.
func lostCards(gone []int, places []string, found []Device) []Device {
	left := slices.DeleteFunc(slices.Sorted(slices.Values(places)), func(place string) bool {
		return slices.ContainsFunc(found, func(d Device) bool { return d.PCI == place })
	})
	var out []Device
	for k, i := range gone {
		d := Device{ID: fmt.Sprintf("nvidia:%d", i), Vendor: "nvidia", Kind: Dedicated, Index: i, Excluded: isLost, Total: nvmlMissing[int64](nvml.ERROR_GPU_IS_LOST)}
		if len(left) == len(gone) {
			d.ID, d.PCI = left[k], left[k]
		}
		out = append(out, d)
	}
	return out
}

// versions reads what holds for all devices.
func (l *nvmlLibrary) versions() Device {
	var d Device
	d.Driver = nvmlField(l.has("nvmlSystemGetDriverVersion"), l.lib.SystemGetDriverVersion, oneLine)
	d.Runtime = nvmlField(l.has("nvmlSystemGetCudaDriverVersion"), l.lib.SystemGetCudaDriverVersion, func(v int) string {
		return fmt.Sprintf("CUDA %d.%d", v/1000, v%1000/10)
	})
	return d
}

// nvmlField calls a function that the driver has, and turns what it returns
// into a field.
func nvmlField[T, U any](has bool, call func() (U, nvml.Return), convert func(U) T) Field[T] {
	if !has {
		return missing[T]("nvml", Unsupported, "the installed driver is older than this counter")
	}
	v, r := call()
	if r != nvml.SUCCESS {
		return nvmlMissing[T](r)
	}
	return known("nvml", convert(v))
}

// nvmlMissing is the field for a return code. The library's own text for it is
// not asked for: that is a function which may be missing as well.
func nvmlMissing[T any](r nvml.Return) Field[T] {
	switch r {
	case nvml.ERROR_NO_PERMISSION:
		return missing[T]("nvml", Denied, "the driver lets only an administrator read this")
	case nvml.ERROR_NOT_SUPPORTED:
		return missing[T]("nvml", Unsupported, "this device does not report it")
	}
	return missing[T]("nvml", Unsupported, nvmlName(int(r)))
}

// links reads how pairs of cards reach each other.
func (l *nvmlLibrary) links(handles []nvml.Device, ids []string) []Link {
	paths := map[nvml.GpuTopologyLevel]string{
		nvml.TOPOLOGY_INTERNAL: "internal", nvml.TOPOLOGY_SINGLE: "one_switch", nvml.TOPOLOGY_MULTIPLE: "switches",
		nvml.TOPOLOGY_HOSTBRIDGE: "host_bridge", nvml.TOPOLOGY_NODE: "numa_node", nvml.TOPOLOGY_SYSTEM: "system",
	}
	if !l.has("nvmlDeviceGetTopologyCommonAncestor") {
		return nil
	}
	var out []Link
	for i := range handles {
		for j := i + 1; j < len(handles); j++ {
			level, r := handles[i].GetTopologyCommonAncestor(handles[j])
			if r != nvml.SUCCESS {
				continue
			}
			out = append(out, Link{A: ids[i], B: ids[j], Path: paths[level], NVLink: nvmlField(l.has("nvmlDeviceGetP2PStatus"),
				func() (nvml.GpuP2PStatus, nvml.Return) {
					return handles[i].GetP2PStatus(handles[j], nvml.P2P_CAPS_INDEX_NVLINK)
				}, func(s nvml.GpuP2PStatus) bool { return s == nvml.P2P_STATUS_OK })})
		}
	}
	return out
}
