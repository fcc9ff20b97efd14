package proc

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/windows"
)

// PortOwner reports whether a process of the group listens on the TCP port of
// this machine, another does, or nobody. Windows lets several listen, and which
// of them is connected to cannot be told: with a stranger among them it is the
// stranger's.
func PortOwner(port, leader int) Owner {
	ours, _ := Members(leader) // those that can be seen
	out := Nobody
	for _, f := range []tcpTable{tcp4, tcp6} {
		b, err := f.read()
		if err != nil {
			return Unknown
		}
		for _, pid := range f.listeners(b, port) {
			if !slices.Contains(ours, int(pid)) {
				return Stranger
			}
			out = Ours
		}
	}
	return out
}

// tcpTable is the form of a table of listeners with their processes,
// MIB_TCPTABLE_OWNER_PID or MIB_TCP6TABLE_OWNER_PID: how many rows, and the
// rows, in which these are at.
type tcpTable struct {
	family             uintptr
	row, port, pid     int
	address, addressTo int
}

var (
	tcp4 = tcpTable{family: windows.AF_INET, row: 24, address: 4, addressTo: 8, port: 8, pid: 20}
	tcp6 = tcpTable{family: windows.AF_INET6, row: 56, address: 0, addressTo: 16, port: 20, pid: 52}
)

var extendedTCPTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// read asks for the table.
func (f tcpTable) read() ([]byte, error) {
	const listeners = 3 // TCP_TABLE_OWNER_PID_LISTENER
	if err := extendedTCPTable.Find(); err != nil {
		return nil, err
	}
	for size := uint32(16 << 10); ; {
		b := make([]byte, size)
		r, _, _ := extendedTCPTable.Call(uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0, f.family, listeners, 0)
		switch err := windows.Errno(r); {
		case err == windows.ERROR_INSUFFICIENT_BUFFER && size > uint32(len(b)) && size < 64<<20:
		case err != 0:
			return nil, err
		default:
			return b, nil
		}
	}
}

// listeners are the processes that listen on the port where 127.0.0.1 is
// answered: there, or on every address.
func (f tcpTable) listeners(b []byte, port int) (pids []uint32) {
	const head = 4
	if len(b) < head {
		return nil
	}
	rows := int(binary.LittleEndian.Uint32(b))
	for b = b[head:]; rows > 0 && len(b) >= f.row; rows-- {
		at := b[f.address:f.addressTo]
		here := !slices.ContainsFunc(at, func(x byte) bool { return x != 0 }) || string(at) == "\x7f\x00\x00\x01"
		if here && int(binary.BigEndian.Uint16(b[f.port:])) == port {
			pids = append(pids, binary.LittleEndian.Uint32(b[f.pid:]))
		}
		b = b[f.row:]
	}
	return pids
}
