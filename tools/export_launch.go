package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/internal/shell"
)

// LaunchQuery is the input of export_launch.
type LaunchQuery struct {
	ModelArgs `brief:"true"`
	LoadArgs  `brief:"true"`
	Hardware  *Hardware `json:"hardware,omitempty" doc:"What to plan for, as in plan_memory." alias:"gpu,gpus,device,devices,accelerator,vram,memory,gpu_name" brief:"true"`
	Format    string    `json:"format,omitempty" enum:"argv,shell,modelfile,json,compose" default:"shell" doc:"argv is an array for exec, shell a line for a POSIX shell, modelfile Ollama's file, json the configuration as JSON, compose a compose file." alias:"output,as"`
	Host      string    `json:"host,omitempty" default:"127.0.0.1" doc:"Address that the server listens on."`
	Port      int       `json:"port,omitempty" default:"8000" min:"1" max:"65535" doc:"Port that the server listens on."`
}

// LaunchCommand is the output of export_launch.
type LaunchCommand struct {
	Engine  string   `json:"engine"`
	Verdict string   `json:"verdict" enum:"fits,tight,does_not_fit,unknown"`
	Argv    []string `json:"argv"`
	// Content is the command in the format that was asked for.
	Content     string            `json:"text"`
	Environment map[string]string `json:"environment"`
	// Secrets are variables to set that are not in Environment.
	Secrets []string          `json:"secrets,omitempty"`
	Files   map[string]string `json:"files,omitempty"`
	Notes   []string          `json:"notes"`
}

func exportLaunch(opts Options) Tool {
	return define(Tool{
		Name: "export_launch", Title: "Export a launch command", Toolset: PlanSet, Effect: Effect{Network: true},
		Description: "Writes the command or configuration that makes an engine allocate what plan_memory planned: argv, a quoted shell line, an Ollama Modelfile, JSON or a compose file. " +
			"Every option that changes memory is written out, so that the engine's own defaults do not take its place. It starts nothing. plan_memory's other arguments are taken too.",
	}, func(ctx context.Context, q LaunchQuery) (*LaunchCommand, error) {
		found, req, err := planned(ctx, q.ModelArgs, q.LoadArgs, q.Hardware, opts)
		if err != nil {
			return nil, err
		}
		res, err := calc.Plan(req)
		if err != nil {
			return nil, err
		}
		if q.Host == "" {
			q.Host = "127.0.0.1"
		}
		if q.Port == 0 {
			q.Port = 8000
		}
		c, err := calc.Launch(req, res, launchRef(q.Model, res.Engine, found), calc.Endpoint{Host: q.Host, Port: q.Port})
		if err != nil {
			return nil, err
		}
		return launchCommand(c, res, q)
	})
}

// noModel stands for the model where a configuration was given without a name.
const noModel = "MODEL"

// launchRef is what an engine loads a model by: the name that was given,
// without the prefixes that are this program's own; of another program's store,
// the file in it.
func launchRef(given, engine string, found *lookup.Result) string {
	ref := strings.TrimPrefix(given, "catalog:")
	for prefix, own := range map[string]string{"lmstudio:": "lmstudio", "mlx:": "", "ollama:": "ollama"} {
		if strings.HasPrefix(ref, prefix) && own != engine && len(found.Files) > 0 {
			return storedAt(found)
		}
	}
	if ref == "" {
		ref = noModel
	}
	return ref
}

// storedAt is the file of a GGUF, the directory of another checkpoint.
func storedAt(found *lookup.Result) string {
	at := found.Files[0].Path
	for _, f := range found.Files {
		if f.Role == "weights" {
			at = f.Path
			break
		}
	}
	if found.Model.Format == model.FormatGGUF {
		return at
	}
	return filepath.Dir(at)
}

func launchCommand(c *engine.Command, res *calc.Result, q LaunchQuery) (*LaunchCommand, error) {
	out := &LaunchCommand{
		Engine: strings.TrimSpace(res.Engine + " " + res.Version), Verdict: string(res.Verdict), Argv: c.Argv,
		Environment: c.Env, Secrets: c.Secrets, Files: c.Files, Notes: append([]string{}, c.Notes...),
	}
	if out.Environment == nil {
		out.Environment = map[string]string{}
	}
	if q.Model == "" {
		out.Notes = append(out.Notes, noModel+" stands for the model's repository or path")
	}
	if res.Verdict == calc.DoesNotFit {
		out.Notes = append(out.Notes, "the plan does not fit this hardware: the engine would refuse to start or run out of memory")
	}
	switch q.Format {
	case "argv":
		b, err := json.Marshal(c.Argv)
		if err != nil {
			return nil, err
		}
		out.Content = string(b)
	case "modelfile":
		out.Content = c.Files["Modelfile"]
		if out.Content == "" {
			return nil, model.Errorf(model.InvalidArgument, "format", "%s reads no Modelfile", res.Engine).WithHint("set engine to ollama, or format to shell")
		}
	case "json":
		b, err := json.MarshalIndent(map[string]any{"argv": c.Argv, "environment": out.Environment, "files": c.Files}, "", "  ")
		if err != nil {
			return nil, err
		}
		out.Content = string(b)
	case "compose":
		text, err := compose(c, q.Host, q.Port)
		if err != nil {
			return nil, err
		}
		out.Content = text
		if c.Serve != nil {
			out.Notes = append(out.Notes, "once it runs, make the model in it: docker compose exec model "+shell.Join(containerised(&engine.Command{Argv: c.Argv, Files: c.Files}).argv))
		}
	default:
		out.Content = shellLine(c)
	}
	return out, nil
}

// shellLine is the command for a POSIX shell, its environment in front.
func shellLine(c *engine.Command) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		words = append(words, k+"="+shell.Quote(c.Env[k]))
	}
	return strings.Join(append(words, shell.Join(c.Argv)), " ") + "\n"
}

// Text is the command, with what to know about it.
func (c *LaunchCommand) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the plan's verdict is %s.\n\n%s", c.Engine, strings.ReplaceAll(c.Verdict, "_", " "), c.Content)
	if !strings.HasSuffix(c.Content, "\n") {
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		if c.Files[name] != c.Content {
			fmt.Fprintf(&b, "%s:\n%s\n", name, c.Files[name])
		}
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", strings.TrimSuffix(n, "."))
	}
	if len(c.Secrets) > 0 {
		fmt.Fprintf(&b, "Set %s in the environment to require a key.\n", strings.Join(c.Secrets, ", "))
	}
	b.WriteString("Next: start it, and give its log to explain_memory to compare.\n")
	return b.String()
}
