package probe

// State says how a value is known, or why it is not.
type State string

// The states.
const (
	OK          State = "ok"
	Unsupported State = "unsupported" // the device or its driver does not report it
	Denied      State = "denied"      // it is there, and this process may not read it
	Absent      State = "absent"      // nothing here reports it
	Stale       State = "stale"       // the last value known: the source does not answer now
)

// Note is where a value was read, and why it is not known when it is not.
type Note struct {
	State  State
	Source string
	Reason string
}

// Field is a value that may be unknown. The zero Field is one that no source
// was asked for.
type Field[T any] struct {
	Value T // means something when Known
	Note
}

// Known reports whether Value means anything.
func (f Field[T]) Known() bool { return f.State == OK || f.State == Stale }

// Or returns the value, or other when it is not known.
func (f Field[T]) Or(other T) T {
	if f.Known() {
		return f.Value
	}
	return other
}

// known returns a value that source gave.
func known[T any](source string, v T) Field[T] {
	return Field[T]{Value: v, Note: Note{State: OK, Source: source}}
}

// missing returns a field that source could not give.
func missing[T any](source string, s State, reason string) Field[T] {
	return Field[T]{Note: Note{State: s, Source: source, Reason: reason}}
}

// optional returns a value when ok, else that it is not supported.
func optional[T any](source string, v T, ok bool) Field[T] {
	if ok {
		return known(source, v)
	}
	return missing[T](source, Unsupported, "not reported")
}

// slot is a field of any type.
type slot interface {
	note() *Note
	// take fills the field from another of its type, unless it is known or
	// the other says nothing.
	take(slot)
}

func (f *Field[T]) note() *Note { return &f.Note }

func (f *Field[T]) take(from slot) {
	other, ok := from.(*Field[T])
	if !ok || f.State == OK || other.State == "" || f.State == Stale && other.State != OK {
		return
	}
	if f.State != "" && !other.Known() { // two reasons: the first source's
		return
	}
	*f = *other
}

// named is a field with the name it has in answers.
type named struct {
	Name string
	slot slot
}
