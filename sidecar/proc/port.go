package proc

// Owner says whose a listening port is.
type Owner int

// The owners.
const (
	Unknown Owner = iota // it cannot be told on this system
	Nobody
	Ours
	Stranger
)
