package engine

import (
	"fmt"
	"strconv"
)

// Bytes is a count of bytes. It prints itself in binary units, GiB = 2³⁰.
type Bytes int64

// Binary units.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// String prints b with three significant decimals at most: "14.96 GiB".
func (b Bytes) String() string {
	n := b
	if n < 0 {
		n = -n
	}
	switch {
	case n >= TiB:
		return fmt.Sprintf("%.2f TiB", float64(b)/float64(TiB))
	case n >= GiB:
		return fmt.Sprintf("%.2f GiB", float64(b)/float64(GiB))
	case n >= MiB:
		return fmt.Sprintf("%.1f MiB", float64(b)/float64(MiB))
	case n >= KiB:
		return fmt.Sprintf("%.1f KiB", float64(b)/float64(KiB))
	}
	return strconv.FormatInt(int64(b), 10) + " B"
}
