package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/sidecar"
)

// SidecarLaunch is the input of launch_sidecar.
type SidecarLaunch struct {
	Model    string `json:"model" doc:"As in plan_memory, with its weights here or where the engine may fetch them." brief:"true" alias:"model_id,model_name,repo,path,model_path"`
	LoadArgs `brief:"true"`
	Hardware *Hardware        `json:"hardware,omitempty" doc:"What to plan for; this machine by default." alias:"gpu,gpus,device,devices,accelerator,vram,memory,gpu_name" brief:"true"`
	Program  string           `json:"program,omitempty" doc:"One of the engine's: llama-server, llama-bridge, mlx_lm.server, omlx, mlx-bridge." alias:"server_program,adapter"`
	Name     string           `json:"name,omitempty" doc:"A name to call it by." brief:"true"`
	Lifetime sidecar.Lifetime `json:"lifetime,omitempty" enum:"session,detached" default:"session" doc:"detached outlives this server."`
	TTL      int64            `json:"ttl_seconds,omitempty" doc:"Stop it when idle for so long." min:"1" max:"31536000" alias:"ttl,keep_alive,idle_timeout"`
	Force    bool             `json:"force,omitempty" doc:"Though it would not fit."`
	Confirm  bool             `json:"confirm,omitempty" doc:"A person agreed." alias:"yes,approved"`
}

func launchSidecar(opts Options) Tool {
	asked := &consent{}
	return define(Tool{
		Name: "launch_sidecar", Title: "Launch a sidecar", Toolset: SidecarSet, Effect: Effect{Writes: true, Network: true},
		Description: "Starts an engine when its plan (arguments as in plan_memory) fits the memory that is free here; else says what would. " +
			"A person has to agree: where the client cannot ask, set confirm. Not ready after 50 s: get_sidecar.",
	}, func(ctx context.Context, q SidecarLaunch) (*SidecarInfo, error) {
		if err := opts.Sidecars.ready(); err != nil {
			return nil, err
		}
		return q.launch(ctx, opts, asked)
	})
}

func (q SidecarLaunch) launch(ctx context.Context, opts Options, asked *consent) (*SidecarInfo, error) {
	p, err := q.prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	if !p.fits && !q.Force {
		return nil, p.wouldNotFit()
	}
	if err := asked.confirmed(ctx, p.agreement(), p.question(), q.Confirm); err != nil {
		return nil, err
	}
	m := opts.Sidecars.Manager
	st, err := m.Launch(ctx, p.spec)
	if err != nil {
		return nil, err
	}
	if st, err = waitFor(ctx, m, st.ID); err != nil {
		return nil, err
	}
	out := newSidecarInfo(st)
	out.Plan = &SidecarPlan{Verdict: p.verdict(), Assumed: append([]engine.Assumption{}, p.res.Assumed...), Notes: append(append([]string{}, p.notes...), p.res.Notes...)}
	if st.State == sidecar.Failed {
		out.tail(m, 20)
	}
	return out, nil
}

// waitAtMost is how long a call waits for a start: clients give up after a
// minute.
const waitAtMost = 50 * time.Second

// waitFor waits for a sidecar's start and tells the client of its course.
func waitFor(ctx context.Context, m *sidecar.Manager, id string) (*sidecar.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	return m.Wait(ctx, id, func(line string, waited time.Duration) {
		tellProgress(ctx, int64(waited/time.Millisecond), 0, lookup.Clean(line, lookup.MaxText))
	})
}

// prepared is a launch that was thought through and not begun.
type prepared struct {
	spec  sidecar.Spec
	req   calc.Request
	res   *calc.Result
	ref   string
	fits  bool
	short string // what is missing, for people
	notes []string
}

// prepare plans the launch. Nothing is started but the engine's program for
// its version and its options.
func (q SidecarLaunch) prepare(ctx context.Context, opts Options) (*prepared, error) {
	if err := q.words(); err != nil {
		return nil, err
	}
	found, req, err := planned(ctx, ModelArgs{Model: q.Model}, q.LoadArgs, q.hardwareGiven(), opts)
	if err != nil {
		return nil, err
	}
	pools, err := opts.Sidecars.Manager.Free(ctx)
	if err != nil {
		return nil, err
	}
	var of []string // the pool of each device, none of hardware that was named
	if len(req.Hardware.Devices) == 0 {
		if req.Hardware, of, err = opts.Sidecars.local(ctx, pools); err != nil {
			return nil, err
		}
		req.Hardware.History.Took = opts.history(ctx)
	}
	local := of != nil
	p := &prepared{req: req, ref: found.Reference}
	if err := p.plan(ctx, q, opts, found); err != nil {
		return nil, err
	}
	if h := req.Hardware.Host; local && len(of) == 0 && h != nil && byProcessor[p.res.Engine] {
		p.req.Hardware.Devices, of = []engine.Device{processor(h)}, []string{sidecar.HostPool}
		if err := p.plan(ctx, q, opts, found); err != nil {
			return nil, err
		}
	}
	if local {
		p.learn(of)
	}
	p.spec.Reserve = needs(p.res, of, pools)
	p.admit(pools)
	switch {
	case !local:
		p.notes = append(p.notes, "planned for the hardware that was named; only the memory of this system was checked")
	case len(of) == 0 && onDevices[p.res.Engine]:
		p.notes = append(p.notes, "no device is known here: whether it fits was not checked; name the hardware to plan for it")
	}
	return p, nil
}

// plan plans the launch and says what to run. Where no release was asked for it
// is planned for that of the program that would run.
func (p *prepared) plan(ctx context.Context, q SidecarLaunch, opts Options, found *lookup.Result) error {
	var err error
	if p.res, err = calc.Plan(p.req); err != nil {
		return err
	}
	p.req.Load.Version = p.res.Load.Version
	if p.spec, err = q.spec(ctx, opts, found, p.req, p.res); err != nil || q.EngineVersion != "" || p.spec.Version == "" || p.spec.Version == p.res.Load.Version {
		return err
	}
	req := p.req
	req.Load.Version = p.spec.Version
	res, err := calc.Plan(req)
	var bad *model.Error
	switch {
	case errors.As(err, &bad) && bad.Field == "engine_version": // a build with a name of its own
		p.notes = append(p.notes, fmt.Sprintf("the program says that it is version %q, which tells nothing: it was planned for as %s", p.spec.Version, p.res.Version))
		return nil
	case err != nil:
		return err
	}
	p.req, p.res = req, res
	p.spec, err = q.spec(ctx, opts, found, req, res)
	return err
}

// learn has the start tell what it took of the terms that rules alone have a
// range for: later plans on this machine go by it. of is the pool of each of
// the plan's devices.
func (p *prepared) learn(of []string) {
	req := p.req
	req.Hardware.History.Took = nil
	rules, err := calc.Size(req)
	if err != nil {
		return // only what history said made it a plan
	}
	hw := req.Hardware
	p.spec.Start = calc.StartName(req.Model, &rules.Load)
	p.spec.Took = func(log string, own []sidecar.Figure, held map[string]int64) []engine.Took {
		r, err := enginelog.Parse(log[:min(len(log), enginelog.MaxLog)])
		if err != nil {
			r = &enginelog.Report{Engine: rules.Engine}
		}
		for _, f := range own { // what a helper's process had before any model
			if f.Name == engine.Runtime.String() {
				r.Actual = append(r.Actual, enginelog.Actual{Name: "process", Category: engine.Runtime, Host: true, Bytes: engine.Bytes(f.Bytes)})
			}
		}
		by := make([]engine.Bytes, len(of))
		for i, id := range of {
			if !slices.Contains(of[:i], id) && !slices.Contains(of[i+1:], id) { // else it is not known of which device
				by[i] = engine.Bytes(held[id])
			}
		}
		return r.Took(rules, &hw, by)
	}
}

// hardwareGiven is the hardware argument; "local" is what it is without one.
func (q SidecarLaunch) hardwareGiven() *Hardware {
	if q.Hardware != nil && strings.EqualFold(strings.TrimSpace(q.Hardware.Text), "local") {
		return nil
	}
	return q.Hardware
}

// local is this machine, with the memory that is free in its pools, and the
// pool of each of its devices.
func (s *Sidecars) local(ctx context.Context, pools []sidecar.Pool) (engine.Hardware, []string, error) {
	if s.Local == nil {
		hw, of := poolHardware(pools)
		return hw, of, nil
	}
	hw, of, err := s.Local(ctx)
	if err != nil {
		return hw, nil, err
	}
	for i := range hw.Devices { // what is promised to others is not free
		limit(&hw.Devices[i], pools, of[i])
	}
	if hw.Host != nil {
		limit(hw.Host, pools, sidecar.HostPool)
	}
	return hw, of, nil
}

// limit holds a device to what is free in its pool.
func limit(d *engine.Device, pools []sidecar.Pool, id string) {
	for _, p := range pools {
		if p.ID == id {
			d.Free, d.Usable = min(d.Free, engine.Bytes(p.Free)), min(d.Usable, engine.Bytes(p.Free))
		}
	}
}

// poolHardware is this machine as far as its pools tell.
func poolHardware(pools []sidecar.Pool) (engine.Hardware, []string) {
	var hw engine.Hardware
	of := []string{}
	for _, p := range pools {
		d := engine.Device{Name: p.ID, Total: engine.Bytes(p.Total), Free: engine.Bytes(p.Free), Usable: engine.Bytes(p.Free), Kind: engine.Dedicated}
		if p.ID == sidecar.HostPool {
			hw.Host = &d
		} else {
			hw.Devices, of = append(hw.Devices, d), append(of, p.ID)
		}
	}
	return hw, of
}

// byProcessor are engines whose plans take the processor for a device where there
// is no other; llama.cpp's leave devices out.
var byProcessor = map[string]bool{"transformers": true, "mistral.rs": true}

// onDevices are engines that do not run on a processor alone.
var onDevices = map[string]bool{"vllm": true, "sglang": true, "tgi": true, "tensorrt-llm": true}

// needs is what the plan takes of each pool. Without devices everything is in
// the system's memory, for engines that can do without; of hardware that was
// only named (of is nil), the host's part is known to be here.
func needs(res *calc.Result, of []string, pools []sidecar.Pool) map[string]int64 {
	all := map[string]int64{}
	if res.Host != nil {
		all[sidecar.HostPool] = int64(res.Host.Required)
	}
	switch {
	case onDevices[res.Engine] && of != nil && len(of) == 0:
	case of != nil && len(of) == 0:
		all[sidecar.HostPool] += int64(res.Totals.Required)
	default:
		for i := range min(len(of), len(res.Devices)) {
			all[of[i]] += int64(res.Devices[i].Required)
		}
	}
	out := map[string]int64{}
	for _, p := range pools {
		if n := all[p.ID]; n > 0 {
			out[p.ID] = n
		}
	}
	return out
}

// admit compares what is needed with what is free, and the plan's verdict.
func (p *prepared) admit(pools []sidecar.Pool) {
	p.fits = p.res.Verdict != calc.DoesNotFit
	for _, pool := range pools {
		if n := p.spec.Reserve[pool.ID]; n > pool.Free {
			p.fits = false
			p.short = fmt.Sprintf("%s of %s memory are needed, %s are free", engine.Bytes(n), pool.ID, engine.Bytes(pool.Free))
		}
	}
	p.spec.Force = !p.fits
}

// verdict is the plan's, or what this machine's memory says where the plan has
// no devices to say it for.
func (p *prepared) verdict() string {
	switch {
	case !p.fits:
		return string(calc.DoesNotFit)
	case p.res.Verdict == calc.NoVerdict && len(p.spec.Reserve) > 0:
		return string(calc.Fits)
	}
	return string(p.res.Verdict)
}

// wouldNotFit is the refusal, with changes that were planned and fit.
func (p *prepared) wouldNotFit() error {
	e := model.Errorf(model.WouldNotFit, "", "%s would not fit under %s", p.ref, p.res.Engine)
	if p.short != "" {
		e.Message += ": " + p.short
	}
	var changes []string
	for _, s := range p.res.Suggestions {
		if s.Fits {
			changes = append(changes, s.Change)
		}
	}
	if len(changes) == 0 {
		changes = p.smaller()
	}
	if len(changes) == 0 {
		return e.WithHint("no change of load was found that fits: choose a smaller model or quantization, or stop another sidecar; force starts it all the same")
	}
	return e.WithHint("these would fit: %s; call again with one of them, stop another sidecar, or set force", strings.Join(changes[:min(len(changes), 4)], "; "))
}

// smaller plans smaller loads where the plan had no device to suggest for, and
// returns those that fit into what is free.
func (p *prepared) smaller() []string {
	free := engine.Bytes(0)
	if h := p.req.Hardware.Host; h != nil {
		free = h.Free
	}
	var out []string
	try := func(change string, l engine.Load) bool {
		req := p.req
		req.Load = l
		res, err := calc.Size(req)
		if err != nil || len(req.Hardware.Devices) > 0 || res.Totals.Required > free {
			return false
		}
		out = append(out, fmt.Sprintf("%s (%s)", change, res.Totals.Required))
		return true
	}
	for n := p.res.Load.ContextTokens / 2; n >= 512; n /= 2 {
		l := p.res.Load
		l.ContextTokens = n
		if try(fmt.Sprintf("context_tokens %d", n), l) {
			break
		}
	}
	if p.res.Load.Sequences > 1 {
		l := p.res.Load
		l.Sequences = 1
		try("sequences 1", l)
	}
	if p.res.Engine == "llama.cpp" {
		l := p.res.Load
		l.KVCacheType = "q8_0"
		try("kv_cache_dtype q8_0", l)
	}
	return out
}

// agreement is all that is agreed to with a confirmation: everything that says
// what runs, and on what terms.
func (p *prepared) agreement() any {
	s := &p.spec
	return []any{
		s.Name, s.Engine, s.Version, s.Program, s.Args, s.HelperArgs, s.Env, s.Files, s.Prepare != nil,
		s.Model, s.ContextTokens, s.Sequences, s.GPULayers, s.Lifetime, s.TTL, p.fits,
	}
}

// question is what the person is asked.
func (p *prepared) question() string {
	s := fmt.Sprintf("Start %s with %s, which takes %s", p.spec.Engine, lookup.Clean(p.ref, lookup.MaxText), p.res.Totals.Required)
	if !p.fits {
		s += " and WOULD NOT FIT"
		if p.short != "" {
			s += " (" + p.short + ")"
		}
	}
	if p.spec.Lifetime == sidecar.Detached {
		s += ", and let it run when this server ends"
	}
	if p.spec.Prepare != nil {
		s += ", after its Python packages are downloaded and installed"
	}
	return s + "?"
}
