package probe

// Of returns what a process uses of the device, by the PID that it has here: 0
// when all who use the device are known and it is not one of them, unknown when
// there is no list, or a part of one, or one by other PIDs.
func (d *Device) Of(pid int64) Field[int64] {
	list := d.Processes
	switch {
	case list.State == "":
		return missing[int64]("", Absent, "no source lists the device's processes")
	case !list.Known():
		return Field[int64]{Note: list.Note}
	case list.Reason == hostPIDs:
		return missing[int64](list.Source, Unsupported, hostPIDs)
	}
	for _, p := range list.Value {
		if p.PID == pid {
			return p.Used
		}
	}
	if list.State == OK && list.Reason != "" { // not all are in it
		return missing[int64](list.Source, Denied, list.Reason)
	}
	return Field[int64]{Note: list.Note} // known to use none
}
