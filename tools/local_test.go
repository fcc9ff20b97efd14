package tools

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"hwledger/calc/hardware"
	"hwledger/probe"
	"hwledger/sidecar"
)

// fixed is a machine whose hardware a test says.
func fixed(t *testing.T, devices []probe.Device, usable int64) Options {
	t.Helper()
	host := &probe.Host{OS: "linux", Arch: "amd64"}
	if usable > 0 {
		host.CPU = field("AMD EPYC")
		host.Total, host.Usable = field(int64(64<<30)), field(usable)
	}
	source := probe.Source{Name: "fixed", Read: func(context.Context, *probe.System) probe.Reading {
		return probe.Reading{State: probe.OK, Devices: devices, Host: host}
	}}
	sys := probe.Local()
	sys.Run = func(context.Context, probe.Command) ([]byte, error) {
		return []byte("Available devices:\n  (none)\n"), nil
	}
	return Options{Machine: probe.NewSampler(probe.New(sys, source))}
}

func field[T any](v T) probe.Field[T] {
	return probe.Field[T]{Value: v, Note: probe.Note{State: probe.OK, Source: "fixed"}}
}

func rtx4090(free int64) probe.Device {
	return probe.Device{ID: "GPU-6e0d9d7a-1b7e-4b7e-8c7e-000000000001", UUID: "GPU-6e0d9d7a-1b7e-4b7e-8c7e-000000000001", Vendor: "nvidia", Kind: probe.Dedicated,
		Name: field("NVIDIA GeForce RTX 4090"), Total: field(int64(24564 << 20)), Reserved: field(int64(364 << 20)), Free: field(free), Capability: field("8.9")}
}

func callTool[T any](t *testing.T, opts Options, name, args string) (*Result, T) {
	t.Helper()
	s := newSurface(t, opts)
	r := s.Call(t.Context(), name, json.RawMessage(args))
	var out T
	if !r.Failed {
		conforms(t, s, name, r.Structured)
		if err := json.Unmarshal(r.Structured, &out); err != nil {
			t.Fatal(err)
		}
	}
	return r, out
}

// A plan on this machine is for what is free, unless it is to be as if empty.
func TestPlanLocal(t *testing.T) {
	const args = `{"model":"Qwen/Qwen3-8B","engine":"llama.cpp","weights":"Q8_0","hardware":"local"`
	opts := fixed(t, []probe.Device{rtx4090(4 << 30)}, 32<<30)
	r, p := callTool[Plan](t, opts, "plan_memory", args+`}`)
	if r.Failed || p.Verdict != "does_not_fit" || *p.Devices[0].Free != 4<<30 || *p.Devices[0].Total != 24200<<20 || p.Devices[0].Name != "NVIDIA GeForce RTX 4090" {
		t.Errorf("busy: %s", r.Text)
	}
	r, p = callTool[Plan](t, opts, "plan_memory", args+`,"assume_empty":true}`)
	if r.Failed || p.Verdict != "fits" || *p.Devices[0].Free != 24200<<20 {
		t.Errorf("as if empty: %s", r.Text)
	}
	for tool, args := range map[string]string{
		"find_fit":      `{"objective":"context","model":"Qwen/Qwen3-0.6B","engine":"llama.cpp","hardware":"local"}`,
		"compare_plans": `{"model":"Qwen/Qwen3-0.6B","engine":"llama.cpp","hardware_list":["local","RTX 4090"]}`,
		"export_launch": `{"model":"Qwen/Qwen3-0.6B","engine":"vllm","hardware":" Local "}`,
		"search_models": `{"query":"Qwen3-0.6B","filters":{"fits_on":"local"},"offline":true}`,
	} {
		if r, _ := callTool[map[string]any](t, opts, tool, args); r.Failed {
			t.Errorf("%s: %s", tool, r.Text)
		}
	}
}

// poolsOf is a probe of sidecars.
type poolsOf []sidecar.Pool

func (p poolsOf) Pools(context.Context) ([]sidecar.Pool, error) { return p, nil }

// What is promised to sidecars is not free for a plan.
func TestPlanLocalPromised(t *testing.T) {
	d := rtx4090(20 << 30)
	opts := fixed(t, []probe.Device{d}, 32<<30)
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Probe: poolsOf{{ID: d.ID, Total: 24 << 30, Free: 6 << 30}, {ID: sidecar.HostPool, Total: 64 << 30, Free: 3 << 30}}})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	opts.Sidecars = &Sidecars{Manager: m}
	hw, err := localHardware(t.Context(), opts, false)
	if err != nil || hw.Devices[0].Free != 6<<30 || hw.Devices[0].Usable != 6<<30 || hw.Host.Usable != 3<<30 {
		t.Errorf("%+v, host %+v, %v", hw.Devices, hw.Host, err)
	}
	if hw, err = localHardware(t.Context(), opts, true); err != nil || hw.Devices[0].Usable != 24200<<20 || hw.Host.Usable != 64<<30 {
		t.Errorf("as if empty: %+v, host %+v, %v", hw.Devices, hw.Host, err)
	}
}

// A Mac as it is measured, when nothing uses it, is the Mac of the catalogue;
// in use, an engine's part beside the GPU comes out of the system's memory.
func TestPlanLocalUnified(t *testing.T) {
	const gib = int64(1) << 30
	d := probe.Device{ID: "apple:0", Vendor: "apple", Kind: probe.Unified, Name: field("Apple M4 Max"), Total: field(64 * gib),
		Limit: field(int64(hardware.AppleLimit("Apple M4 Max", 64<<30))), Used: field(2 * gib), Free: field(30 * gib)}
	host := probe.Host{Total: field(64 * gib), Usable: field(40 * gib)}
	hw, err := hardware.Parse("M4 Max 64GB")
	if err != nil {
		t.Fatal(err)
	}
	listed := hw.Devices[0]
	if got := plannedDevice(&d, &host, true); got.Total != listed.Total || got.Free != listed.Free || got.Usable != listed.Usable || got.Bandwidth != listed.Bandwidth {
		t.Errorf("empty: %+v, listed: %+v", got, listed)
	}
	if got := plannedDevice(&d, &host, false); got.Free != 40<<30 || got.Usable != 30<<30 {
		t.Errorf("in use: %+v", got)
	}
	d = rtx4090(24 << 30)
	d.Reserved = probe.Field[int64]{}
	if got := plannedDevice(&d, &host, true); got.Free != 25383256719 || got.Usable != got.Free { // CUDA's total

		t.Errorf("of a card that does not say what its driver keeps: %+v", got)
	}
	spark := probe.Device{ID: "GPU-1", Vendor: "nvidia", Kind: probe.Unified, Name: field("NVIDIA GB10"), Total: field(int64(127600748 << 10)), Free: field(int64(118566368 << 10))}
	if got := plannedDevice(&spark, &host, true); got.Free != 127600748<<10 || got.Usable >= got.Free*96/100 || got.Usable < got.Free*94/100 {
		t.Errorf("a DGX Spark, of which vLLM takes 95 %%: %+v", got)
	}
}

// Without an accelerator, and with one that is left out, the plan is for the
// processor and says so.
func TestPlanLocalWithoutAccelerator(t *testing.T) {
	bare := probe.Device{ID: "0000:01:00.0", PCI: "0000:01:00.0", Vendor: "nvidia", Index: -1, Name: field("AD102 [GeForce RTX 4090]")}
	r, p := callTool[Plan](t, fixed(t, []probe.Device{bare}, 32<<30), "plan_memory", `{"model":"Qwen/Qwen3-0.6B","hardware":"local"}`)
	if r.Failed || p.Verdict != "fits" || !strings.HasPrefix(p.Engine.Name, "llama.cpp") {
		t.Fatalf("got %s", r.Text)
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "for the processor") || !strings.Contains(notes, "GeForce RTX 4090] is left out: no driver") {
		t.Errorf("notes: %s", notes)
	}
	r, _ = callTool[Plan](t, fixed(t, nil, 0), "plan_memory", `{"model":"Qwen/Qwen3-0.6B","hardware":"local"}`)
	if !r.Failed || !strings.Contains(r.Text, "hardware_not_found") || !strings.Contains(r.Text, "doctor") {
		t.Errorf("of nothing: %s", r.Text)
	}
}

// Names as drivers write them find their card, by its memory where several
// have one name.
func TestIdentify(t *testing.T) {
	for _, c := range []struct {
		name  string
		total int64
		want  string
	}{
		{"NVIDIA GeForce RTX 4090", 24564 << 20, "RTX 4090"},
		{"NVIDIA GeForce RTX 4060 Ti", 16380 << 20, "RTX 4060 Ti 16GB"},
		{"NVIDIA GeForce RTX 4060 Ti", 8188 << 20, "RTX 4060 Ti 8GB"},
		{"NVIDIA H100 80GB HBM3", 81559 << 20, "H100 SXM5 80GB"},
		{"NVIDIA A100-SXM4-40GB", 40960 << 20, "A100 SXM4 40GB"},
		{"Radeon RX 7900 XTX", 25753026560, "RX 7900 XTX"},
		{"AMD Instinct MI300X", 206141652992, "MI300X"},
		{"NVIDIA GeForce RTX 4090", 8 << 30, ""}, // a part of one
		{"Quantum Abacus", 1 << 30, ""},
	} {
		a, ok := identify(&probe.Device{Name: field(c.name), Total: field(c.total)})
		if ok != (c.want != "") || ok && a.Name != c.want {
			t.Errorf("%s with %d bytes: %+v, %v", c.name, c.total, a, ok)
		}
	}
}

func TestProbeHardware(t *testing.T) {
	d := rtx4090(20 << 30)
	d.Power = probe.Field[float64]{Note: probe.Note{State: probe.Denied, Source: "nvml", Reason: "the driver lets only an administrator read this"}}
	opts := fixed(t, []probe.Device{d}, 32<<30)
	r, p := callTool[HardwareProbe](t, opts, "probe_hardware", `{}`)
	if r.Failed || len(p.Devices) != 1 {
		t.Fatalf("got %s", r.Text)
	}
	got := p.Devices[0]
	if got.Power != nil || got.Fields["power_watts"].State != "denied" || *got.Free != 20<<30 || !got.Planned || *got.Bandwidth != 1008e9 {
		t.Errorf("got %+v", got)
	}
	if _, there := got.Fields["total_bytes"]; there {
		t.Error("a summary says how known values are known")
	}
	if !strings.HasPrefix(r.Text, "NVIDIA GeForce RTX 4090 (dedicated memory): 20.00 GiB free of 23.99 GiB.") {
		t.Errorf("text: %s", r.Text)
	}
	_, p = callTool[HardwareProbe](t, opts, "probe_hardware", `{"detail":"full","sample_seconds":1}`)
	got = p.Devices[0]
	if got.Fields["bandwidth_bytes_per_second"].Source != "catalogue" || got.Fields["free_bytes"].State != "ok" || got.Sampled["free_bytes"].Min != 20<<30 || got.Sampled["free_bytes"].Samples < 1 {
		t.Errorf("in full: %+v", got)
	}
	if e := p.Host.Engines; len(e) != 1 || len(e[0].Differences) != 1 || !strings.Contains(e[0].Differences[0], "uses no device") {
		t.Errorf("llama.cpp's view: %+v", e)
	}
}

// What is pasted into a report names neither its user nor a serial number.
func TestDoctor(t *testing.T) {
	d := rtx4090(20 << 30)
	d.Power.Note = probe.Note{State: probe.Unsupported, Source: "nvml", Reason: "in /home/alice/x with hf_abcdefghijklmnop and " + d.UUID}
	text, err := newSurface(t, fixed(t, []probe.Device{d}, 32<<30)).Doctor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"alice", "hf_abc", "6e0d9d7a"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in\n%s", secret, text)
		}
	}
	for _, want := range []string{"RTX 4090", "/home/USER/x", "TOKEN", "GPU-UUID", "finding", "engine llama.cpp: ok"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
