package tools

import "context"

func stopSidecar(opts Options) Tool {
	return define(Tool{
		Name: "stop_sidecar", Title: "Stop a sidecar", Toolset: SidecarSet, Effect: Effect{Writes: true, Destructive: true, Repeatable: true},
		Description: "Ends a sidecar and all its processes; calls that run are cut off. Returns when nothing of it is left.",
	}, func(ctx context.Context, q SidecarQuery) (*SidecarInfo, error) {
		if err := opts.Sidecars.ready(); err != nil {
			return nil, err
		}
		st, err := opts.Sidecars.Manager.Stop(ctx, q.ID)
		if err != nil {
			return nil, err
		}
		return newSidecarInfo(st), nil
	})
}
