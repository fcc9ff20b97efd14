package ledger

// InStretches makes the ledger verify n events at a time, so that tests of a
// short one go the way of a long one.
func (l *Ledger) InStretches(n int64) { l.stretch = n }

// TypeOf is the parser of the table of mounts.
func TypeOf(dir, table string) string { return typeOf(dir, table) }

// IsNetwork is what is refused.
func IsNetwork(t string) bool { return isNetwork(t) }

// RefuseNetwork is the check before opening.
func RefuseNetwork(dir string) error { return refuseNetwork(dir) }

// ReadFrom makes the faster reader of verifying read another file.
func (l *Ledger) ReadFrom(uri string) { l.readURI = uri }
