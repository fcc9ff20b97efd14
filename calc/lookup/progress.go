package lookup

import "context"

// Progress is told how far a slow lookup is: done of total steps, 0 when the
// total is not known, and what is being read. It may be called by several
// goroutines at once.
type Progress func(done, total int64, what string)

type progressKey struct{}

// WithProgress returns a context whose lookups report to f.
func WithProgress(ctx context.Context, f Progress) context.Context {
	return context.WithValue(ctx, progressKey{}, f)
}

// report tells the context's listener, if there is one.
func report(ctx context.Context, done, total int64, what string) {
	if f, ok := ctx.Value(progressKey{}).(Progress); ok && f != nil {
		f(done, total, Clean(what, MaxText))
	}
}

// Report tells the context's listener of slow work that is no lookup.
func Report(ctx context.Context, done, total int64, what string) { report(ctx, done, total, what) }
