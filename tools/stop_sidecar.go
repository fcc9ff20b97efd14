package tools

import (
	"context"
	"fmt"
	"strings"

	"hwledger/calc/lookup"
	"hwledger/sidecar"
)

// SidecarEnd is the output of stop_sidecar.
type SidecarEnd struct {
	ID    string        `json:"id"`
	State sidecar.State `json:"state"`
	// Reason is why it ended, before it was asked to as well.
	Reason string `json:"reason"`
}

func stopSidecar(opts Options) Tool {
	return define(Tool{
		Name: "stop_sidecar", Title: "Stop a sidecar", Toolset: SidecarSet, Effect: Effect{Writes: true, Destructive: true, Repeatable: true},
		Description: "Ends a sidecar, all its processes and running calls. Returns when nothing of it is left.",
	}, func(ctx context.Context, q SidecarQuery) (*SidecarEnd, error) {
		if err := opts.Sidecars.ready(); err != nil {
			return nil, err
		}
		st, err := opts.Sidecars.Manager.Stop(ctx, q.ID)
		if err != nil {
			return nil, err
		}
		return &SidecarEnd{st.ID, st.State, lookup.Clean(st.Reason, lookup.MaxText)}, nil
	})
}

// Text says how it ended.
func (e *SidecarEnd) Text() string {
	return fmt.Sprintf("%s: sidecar %s, %s.\n", strings.ToUpper(string(e.State)), e.ID, strings.TrimSuffix(e.Reason, "."))
}
