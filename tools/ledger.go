package tools

import (
	"context"
	"time"

	"hwledger/calc/model"
	"hwledger/ledger"
)

// Ledger is what the tools need of a ledger.
type Ledger interface {
	Append(context.Context, ledger.Event) (ledger.Receipt, error)
	Query(context.Context, ledger.Query) (ledger.Page, error)
	Verify(context.Context, ledger.VerifyOptions) (ledger.Verification, error)
	CheckProjections(context.Context) error
	CheckFile(context.Context) error
	Event(context.Context, int64) (ledger.Recorded, error)
	Latest(context.Context) (ledger.SignedCheckpoint, error)
	Usage(context.Context, ledger.UsageQuery) (ledger.Usage, error)
}

// ledger returns the ledger of these options, opened on the first use.
func (o *Options) ledger(ctx context.Context) (Ledger, error) {
	if o.Ledger == nil {
		return nil, model.Errorf(model.NotReady, "", "this server has no ledger").WithHint("start it with hwledger-mcp serve")
	}
	return o.Ledger(ctx)
}

// period reads the arguments since and until.
func period(since, until string) (from, to time.Time, err error) {
	if from, err = timeArgument("since", since); err == nil {
		to, err = timeArgument("until", until)
	}
	return from, to, err
}

// timeArgument reads an argument that is a time or a day.
func timeArgument(field, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, model.Errorf(model.InvalidArgument, field, "%q is not a time", s).WithHint("write 2026-11-25T12:00:00Z, or 2026-11-25 for its first moment in UTC")
}
