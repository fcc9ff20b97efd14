package tools

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/probe"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
)

// acceptedBy reads the options that each engine's server accepts.
func acceptedBy(t testing.TB) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../testdata/launch_flags/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	out := map[string]map[string]bool{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for line := range strings.Lines(string(raw)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			for _, o := range strings.Fields(line) {
				known[strings.TrimSuffix(o, "=")] = true
			}
		}
		out[strings.TrimSuffix(filepath.Base(f), ".txt")] = known
	}
	return out
}

// The command that is planned for an engine is one that its adapter runs: it
// is known by its program, and none of its options is refused.
func TestPlannedCommandsAreTaken(t *testing.T) {
	accepted := acceptedBy(t)
	s := &Sidecars{Manager: sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: engines.All(engines.Config{})})}
	found, err := lookup.Resolve(t.Context(), lookup.Request{Ref: "catalog:Qwen/Qwen3-8B", Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		engine, hardware, adapter string
		flags                     engine.Flags
	}{
		{"llama.cpp", "RTX 4090", "llama-server", nil}, {"vllm", "H100", "vllm", nil}, {"sglang", "H100", "sglang", nil}, {"tgi", "H100", "tgi", nil},
		{"tensorrt-llm", "H100", "trtllm-serve", nil}, {"mistral.rs", "RTX 4090", "mistralrs", nil},
		{"mlx", "M3 Max 64GB", "mlx_lm.server", nil}, {"mlx", "M3 Max 64GB", "omlx", engine.Flags{"server": "omlx"}},
	} {
		hw, err := (&Hardware{Text: c.hardware}).resolve(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		req := calc.Request{Model: found.Model, Engine: c.engine, Hardware: hw, Load: engine.Load{ContextTokens: 4096, Sequences: 2, Flags: c.flags}}
		res, err := calc.Plan(req)
		if err != nil {
			t.Errorf("%s: %v", c.adapter, err)
			continue
		}
		cmd, err := calc.Launch(req, res, "Qwen/Qwen3-8B:Q4_K_M", calc.Endpoint{Host: "127.0.0.1", Port: 1})
		if err != nil {
			t.Errorf("%s: %v", c.adapter, err)
			continue
		}
		e, err := s.adapter("", c.engine, cmd)
		if err != nil || e.Name != c.adapter {
			t.Errorf("%s: %v: taken by %+v", c.adapter, err, e)
			continue
		}
		if args, err := e.WithOwnArgs(cmd.Argv[1:], accepted[c.engine]); err != nil {
			t.Errorf("%s: %q: %v", c.adapter, args, err)
		}
		for _, host := range []string{e.HostFlag, e.PortFlag} {
			if !strings.Contains(strings.Join(cmd.Argv, " "), host+" ") {
				t.Errorf("%s: the command has no %s to replace: %q", c.adapter, host, cmd.Argv)
			}
		}
	}
}

// devicePools is a probe of a machine with cards.
type devicePools []sidecar.Pool

func (d devicePools) Pools(context.Context) ([]sidecar.Pool, error) { return d, nil }

// A plan on this machine's devices is held against their own pools, though two
// of them have the same name, and against what is free there.
func TestLocalDevices(t *testing.T) {
	dir := t.TempDir()
	path := tinyModel(t, dir)
	card := engine.Device{Name: "A card", Vendor: "nvidia", Kind: engine.Dedicated, Total: engine.GiB, Free: engine.GiB, Usable: engine.GiB}
	for name, c := range map[string]struct {
		free, other int64
		fits        bool
	}{
		"free": {1 << 30, 1 << 30, true}, "promised to others": {1 << 20, 1 << 30, false}, "one of two promised": {1 << 30, 1 << 20, false},
	} {
		opts := sidecars(t, dir, fakeServer(t, dir), 1<<30)
		opts.Sidecars.Manager = sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: engines.All(engines.Config{}), Probe: devicePools{
			{ID: "GPU-1", Total: 1 << 30, Free: c.free}, {ID: "GPU-2", Total: 1 << 30, Free: c.other}, {ID: sidecar.HostPool, Total: 1 << 40, Free: 1 << 40},
		}})
		opts.Sidecars.Local = func(context.Context) (engine.Hardware, []string, error) {
			return engine.Hardware{Devices: []engine.Device{card, card}, Host: &engine.Device{Name: "system memory", Total: 1 << 40, Free: 1 << 40, Usable: 1 << 40}}, []string{"GPU-1", "GPU-2"}, nil
		}
		q := SidecarLaunch{Model: path, LoadArgs: LoadArgs{ContextTokens: 1024, Sequences: 3}}
		p, err := q.prepare(t.Context(), opts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := p.spec.Reserve
		if p.fits != c.fits || r["GPU-1"] <= 0 || r["GPU-2"] <= 0 {
			t.Errorf("%s: fits %v, %v", name, p.fits, r)
		}
		if got, want := r["GPU-1"]+r["GPU-2"], int64(p.res.Devices[0].Required+p.res.Devices[1].Required); got != want {
			t.Errorf("%s: %d are reserved, %d required", name, got, want)
		}
	}
}

// What the probe says of this machine is what sidecars are admitted against:
// devices with memory of their own by their ids, others as the system's.
func TestMachine(t *testing.T) {
	card := rtx4090(4 << 30)
	card.Processes = field([]probe.Process{{PID: 7, Used: field(int64(100))}, {PID: 8, Used: field(int64(20))}, {PID: 9}})
	out := card
	out.ID, out.Excluded = "GPU-2", "it is divided"
	unified := probe.Device{ID: "igpu", Vendor: "apple", Kind: probe.Unified, Name: field("M3"), Total: field(int64(8 << 30)), Free: field(int64(6 << 30))}
	m := Machine{fixed(t, []probe.Device{card, out, unified}, 32<<30).Machine}
	pools, err := m.Pools(t.Context())
	if err != nil || len(pools) != 2 || pools[0].ID != sidecar.HostPool || pools[0].Free != 32<<30 || pools[1].ID != card.ID || pools[1].Free != 4<<30 {
		t.Fatalf("%v: %+v", err, pools)
	}
	for want, pids := range map[int64][]int{120: {7, 8, 9}, 100: {7, 1}, 0: {1}} {
		held, err := m.Held(t.Context(), pids)
		if _, told := held[card.ID]; err != nil || held[card.ID] != want || told != (want > 0) || len(held) > 1 {
			t.Errorf("%v: %v has %v, want %d", err, pids, held, want)
		}
	}
	hw, of, err := m.Local(t.Context())
	if err != nil || hw.Host == nil || len(hw.Devices) != len(of) || !slices.Contains(of, card.ID) || slices.Contains(of, out.ID) {
		t.Errorf("%v: %+v is %v", err, hw.Devices, of)
	}
	if _, of, err := (Machine{fixed(t, nil, 32<<30).Machine}).Local(t.Context()); err != nil || of == nil || len(of) != 0 {
		t.Errorf("%v: without devices: %v", err, of)
	}
}
