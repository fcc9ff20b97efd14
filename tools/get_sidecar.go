package tools

import "context"

// SidecarQuery names a sidecar.
type SidecarQuery struct {
	ID string `json:"id" doc:"Id or name." alias:"sidecar,sidecar_id,name"`
}

// GetSidecarQuery is the input of get_sidecar.
type GetSidecarQuery struct {
	SidecarQuery
	LogLines int  `json:"log_lines,omitempty" doc:"Last lines of its log to return." default:"20" min:"0" max:"200" brief:"true" alias:"lines,tail"`
	Wait     bool `json:"wait,omitempty" doc:"Up to 50 s, until it is ready or failed." alias:"block"`
}

func getSidecar(opts Options) Tool {
	return define(Tool{
		Name: "get_sidecar", Title: "Get a sidecar", Toolset: SidecarSet, Effect: Effect{},
		Description: "Shows a sidecar: state, endpoint, predicted beside measured memory, log. For a failed one, why.",
	}, func(ctx context.Context, q GetSidecarQuery) (*SidecarInfo, error) {
		if err := opts.Sidecars.ready(); err != nil {
			return nil, err
		}
		m := opts.Sidecars.Manager
		st, err := m.Get(q.ID)
		if err == nil && q.Wait {
			st, err = waitFor(ctx, m, st.ID)
		}
		if err != nil {
			return nil, err
		}
		out := newSidecarInfo(st)
		out.tail(m, q.LogLines)
		return out, nil
	})
}
