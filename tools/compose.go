package tools

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// compose is a compose file with the command as one service (the Compose
// Specification). The server listens on every address of its container; the
// port is published on the address that was asked for.
func compose(c *engine.Command, host string, port int) (string, error) {
	if c.Image == "" {
		return "", model.Errorf(model.InvalidArgument, "format", "there is no container image of %s", c.Argv[0]).WithHint("set format to shell")
	}
	switch c.Devices {
	case "", "cpu", "nvidia", "amd", "intel":
	default:
		return "", model.Errorf(model.InvalidArgument, "format", "there are no rules for how a container reaches the accelerators of %s, which the plan is for", c.Devices).WithHint("set format to shell")
	}
	in := containerised(c)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("services:")
	line("  model:")
	line("    image: %s", quoted(c.Image))
	line("    ports:")
	line("      - %s", quoted(published(host, port)))
	environment(line, c, in.env)
	line("    entrypoint: [%s]", quoted(in.argv[0]))
	line("    command:")
	for _, w := range in.argv[1:] {
		line("      - %s", quoted(w))
	}
	volumes(line, c, in)
	if len(in.files) > 0 {
		line("    configs:")
		for _, name := range slices.Sorted(maps.Keys(in.files)) {
			line("      - source: %s\n        target: %s", quoted(configName(name)), quoted(configDir+name))
		}
	}
	accelerators(line, c.Devices)
	if len(in.files) > 0 {
		line("configs:")
		for _, name := range slices.Sorted(maps.Keys(in.files)) {
			line("  %s:\n    content: %s", quoted(configName(name)), quoted(in.files[name]))
		}
	}
	return b.String(), nil
}

// quoted is a YAML string: JSON's strings are YAML's too. Compose would
// interpolate a dollar that is not doubled.
func quoted(s string) string {
	b, _ := json.Marshal(s) // of a string: cannot fail
	return strings.ReplaceAll(string(b), "$", "$$")
}

const (
	configDir = "/etc/hwledger/" // of the files that a command reads
	modelDir  = "/models/"       // of local models
)

// configName is a file's name among the configs: letters, digits and dashes.
func configName(file string) string {
	return strings.ToLower(strings.ReplaceAll(file, ".", "-"))
}

// inside is a command as it is within its container.
type inside struct {
	argv       []string
	env, files map[string]string
	local      string // where the local model is mounted
}

// containerised puts the container's own paths and addresses in place of this
// machine's.
func containerised(c *engine.Command) inside {
	in := inside{argv: slices.Clone(c.Argv), env: maps.Clone(c.Env), files: maps.Clone(c.Files)}
	if c.Serve != nil {
		in.argv = slices.Clone(c.Serve)
	}
	if c.Local != "" {
		in.local = modelDir + filepath.Base(c.Local)
	}
	for i := 1; i < len(in.argv); i++ {
		switch w := in.argv[i]; {
		case in.argv[i-1] == "--host" || in.argv[i-1] == "--hostname":
			in.argv[i] = "0.0.0.0"
		case w == c.Local && w != "":
			in.argv[i] = in.local
		case c.Files[w] != "":
			in.argv[i] = configDir + w
		}
	}
	if c.Program != "" {
		in.argv[0] = c.Program
	}
	for k, v := range in.env {
		if _, port, err := net.SplitHostPort(v); err == nil && strings.HasSuffix(k, "_HOST") {
			in.env[k] = net.JoinHostPort("0.0.0.0", port)
		}
	}
	for name, text := range in.files {
		if c.Local != "" {
			in.files[name] = strings.Replace(text, "FROM "+c.Local+"\n", "FROM "+in.local+"\n", 1)
		}
	}
	return in
}

// published is the port on this machine and in the container. Only addresses
// can be published on: a name means this machine alone.
func published(host string, port int) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		host = "127.0.0.1"
	case ip.Is6():
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d:%d", host, port, port)
}

// environment writes the variables: those of the command, and the caller's
// secrets by their names. Compose leaves out a name whose variable is not set,
// where an empty key would be one that no request has.
func environment(line func(string, ...any), c *engine.Command, env map[string]string) {
	secrets := c.Secrets
	if c.Local == "" && c.Serve == nil {
		secrets = append(slices.Clone(secrets), "HF_TOKEN") // of repositories that ask for one
	}
	if len(env)+len(secrets) == 0 {
		return
	}
	line("    environment:")
	for _, k := range slices.Sorted(maps.Keys(env)) {
		line("      %s: %s", k, quoted(env[k]))
	}
	for _, k := range secrets {
		line("      %s:", k)
	}
}

// volumes mounts a local model, or the directory of downloaded ones.
func volumes(line func(string, ...any), c *engine.Command, in inside) {
	line("    volumes:")
	if c.Local != "" {
		line("      - type: bind\n        source: %s\n        target: %s\n        read_only: true", quoted(c.Local), quoted(in.local))
	}
	switch {
	case c.Serve != nil:
		line("      - \"~/.ollama:%s\"", c.Store)
	case c.Local == "":
		store := c.Store
		if store == "" {
			store = "/root/.cache/huggingface"
		}
		line("      - \"${HF_HOME:-~/.cache/huggingface}:%s\"", store)
	}
}

// accelerators gives the container a vendor's devices: NVIDIA's by the
// runtime's reservation, others by their device files.
func accelerators(line func(string, ...any), vendor string) {
	switch vendor {
	case "nvidia":
		line("    ipc: host")
		line("    deploy:\n      resources:\n        reservations:\n          devices:")
		line("            - driver: nvidia\n              count: all\n              capabilities: [gpu]")
	case "amd":
		line("    ipc: host")
		line("    devices:\n      - \"/dev/kfd\"\n      - \"/dev/dri\"")
		line("    group_add: [video]\n    security_opt: [\"seccomp=unconfined\"]")
	case "intel":
		line("    ipc: host")
		line("    devices:\n      - \"/dev/dri\"\n    group_add: [video]")
	}
}
