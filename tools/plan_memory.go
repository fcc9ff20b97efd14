package tools

import (
	"context"

	"hwledger/calc"
	"hwledger/internal/planner"
)

const planTool = "plan_memory"

// PlanQuery is the input of plan_memory.
type PlanQuery struct {
	ModelArgs
	LoadArgs
	Hardware *Hardware `json:"hardware,omitempty" doc:"What to fit into: \"RTX 4090\", \"2x H100-80GB\", \"M3 Max 64GB\", \"RTX 3060 + 64GB RAM\", \"24GB\", {\"memory_bytes\": 25757220864, \"count\": 1}, or \"local\" for what is free on this machine. Without it the answer has sizes and no verdict." alias:"gpu,gpus,device,devices,accelerator,vram,memory,gpu_name"`
	Empty    bool      `json:"assume_empty,omitempty" default:"false" doc:"With hardware local: plan as if nothing used the devices." alias:"ignore_usage,empty"`
	Detail   string    `json:"detail,omitempty" enum:"summary,terms,layers" default:"terms" doc:"summary is totals only; terms adds each summand with formula, inputs and source; layers adds bytes for every decoder layer too." alias:"verbose,level"`
	Picture  bool      `json:"picture,omitempty" doc:"Add a picture (PNG)." default:"false" alias:"image,chart,png,plot"`
}

func planMemory(opts Options) Tool {
	return define(Tool{
		Name: planTool, Title: "Plan memory", Toolset: PlanSet, Effect: Effect{Network: true}, App: planner.URI,
		Description: "Computes the memory a model needs on each device under an engine and a load, and says whether it fits the hardware: verdict, totals with a low-high range, cache capacity and concurrency as the engine would log them, and each term with its formula and source. All sizes are bytes. " +
			"Use it for any question about memory, context length, batch size or quantization; leave out what is not known, and the answer lists what was assumed. " +
			"When it does not fit, each suggestion is a change that was itself planned and fits: call again with its arguments.",
	}, func(ctx context.Context, q PlanQuery) (*Plan, error) {
		if q.Hardware != nil {
			q.Hardware.Empty = q.Empty
		}
		found, req, err := planned(ctx, q.ModelArgs, q.LoadArgs, q.Hardware, opts)
		if err != nil {
			return nil, err
		}
		res, err := calc.Plan(req)
		if err != nil {
			return nil, err
		}
		p := newPlan(found, res, q.Detail)
		p.live = q.Hardware.isLocal()
		if p.live {
			p.Notes = append(localNotes(ctx, opts, q.Empty), p.Notes...)
			if last := opts.measuredHere(ctx, found.Reference, res); last != "" {
				p.Notes = append([]string{last}, p.Notes...)
			}
		}
		if q.Picture {
			if p.picture, err = p.PNG(); err != nil {
				return nil, err
			}
		}
		return p, nil
	})
}
