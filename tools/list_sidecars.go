package tools

import (
	"context"
	"fmt"
	"strings"

	"hwledger/sidecar"
)

// ListSidecarsQuery is the input of list_sidecars.
type ListSidecarsQuery struct {
	State sidecar.State `json:"state,omitempty" enum:"starting,ready,stopping,stopped,failed" doc:"Only these." alias:"status"`
}

// SidecarList is the output of list_sidecars.
type SidecarList struct {
	Sidecars []*SidecarInfo `json:"sidecars"`
}

func listSidecars(opts Options) Tool {
	return define(Tool{
		Name: "list_sidecars", Title: "List sidecars", Toolset: SidecarSet, Effect: Effect{},
		Description: "Lists engines launched here, newest first. Those that ended lately are in it, with the reason.",
	}, func(_ context.Context, q ListSidecarsQuery) (*SidecarList, error) {
		if err := opts.Sidecars.ready(); err != nil {
			return nil, err
		}
		out := &SidecarList{Sidecars: []*SidecarInfo{}}
		for _, st := range opts.Sidecars.Manager.List() {
			if q.State == "" || q.State == st.State {
				out.Sidecars = append(out.Sidecars, newSidecarInfo(st))
			}
		}
		return out, nil
	})
}

// Text has one line for each.
func (l *SidecarList) Text() string {
	if len(l.Sidecars) == 0 {
		return "No sidecars.\n"
	}
	var b strings.Builder
	for _, i := range l.Sidecars {
		fmt.Fprintf(&b, "%s %s: %s on %s", i.ID, i.State, i.About.Model, i.About.Engine)
		if i.Access != nil {
			b.WriteString(" at " + i.Access.BaseURL)
		}
		b.WriteString("\n")
	}
	return b.String()
}
