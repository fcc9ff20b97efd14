package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hwledger/tools"
)

const planTool = "plan_memory"

func plan(e *env, args []string) int {
	s, err := surface(e, tools.Options{})
	if err != nil {
		return misuse(e, "%v", err)
	}
	t, err := s.Tool(planTool)
	if err != nil {
		return misuse(e, "%v", err)
	}
	a := arguments{schema: t.In, switches: []string{"json", "fail_unless_fits"}}
	if err := a.parse(args); err != nil {
		return misuse(e, "plan: %v", err)
	}
	output, _ := a.values["output"].(string)
	delete(a.values, "output")
	if kind := filepath.Ext(output); output != "" && kind != ".svg" && kind != ".png" {
		return misuse(e, "plan: --output draws a picture.svg or picture.png, not %q", output)
	}
	if err := planArguments(&a); err != nil {
		return misuse(e, "plan: %v", err)
	}
	raw, err := a.json()
	if err != nil {
		return misuse(e, "plan: %v", err)
	}
	r := s.Call(e.ctx, planTool, raw)
	p, _ := r.Answer.(*tools.Plan)
	if output != "" && p != nil {
		if err := savePicture(output, p); err != nil {
			fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
			return exitError
		}
	}
	switch {
	case a.on["json"]:
		if err := printJSON(e.stdout, r.Structured); err != nil {
			fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
			return exitError
		}
	case r.Failed:
		fmt.Fprint(e.stderr, r.Text)
	case e.terminal:
		picture{out: e.stdout, colour: colours(e), width: columns(e)}.plan(p)
	default:
		fmt.Fprint(e.stdout, r.Text)
	}
	switch {
	case r.Failed:
		return exitError
	case a.on["fail_unless_fits"] && p.Verdict != "fits":
		return exitNotFits
	}
	return exitOK
}

// planArguments takes MODEL for the argument model, and refuses what the tool
// does not have: on a command line that is a mistake in its use.
func planArguments(a *arguments) error {
	switch {
	case len(a.positional) > 1:
		return fmt.Errorf("unexpected argument %q", a.positional[1])
	case len(a.positional) == 1:
		if _, twice := a.values["model"]; twice {
			return fmt.Errorf("the model is given twice")
		}
		a.values["model"] = a.positional[0]
	case a.values["model"] == nil && a.values["config"] == nil:
		return fmt.Errorf("which model? hwledger-mcp plan MODEL [--hardware \"RTX 4090\"]")
	}
	for name := range a.values {
		if a.schema.Property(name) == nil {
			e := fmt.Errorf("there is no --%s", strings.ReplaceAll(name, "_", "-"))
			if similar := a.schema.Suggest(name); len(similar) > 0 {
				e = fmt.Errorf("%w; did you mean --%s?", e, strings.ReplaceAll(similar[0], "_", "-"))
			}
			return e
		}
	}
	return nil
}

// savePicture draws the plan into a file, in the format that its name says.
func savePicture(file string, p *tools.Plan) error {
	drawn := p.SVG()
	if filepath.Ext(file) == ".png" {
		var err error
		if drawn, err = p.PNG(); err != nil {
			return err
		}
	}
	return os.WriteFile(file, drawn, 0o644)
}

func planHelp(e *env) {
	fmt.Fprint(e.stdout, `
  --json              print the answer's JSON object
  --output FILE       draw the plan into FILE.svg or FILE.png
  --fail-unless-fits  exit with 3 unless the verdict is "fits"

  hwledger-mcp plan Qwen/Qwen3-8B --hardware "RTX 4090" --context-tokens 32768
  hwledger-mcp plan ./model.gguf hardware="M3 Max 64GB" gpu_layers=20
`)
	s, err := surface(e, tools.Options{})
	if err != nil {
		return
	}
	if t, err := s.Tool(planTool); err == nil {
		describe(e, t.In)
	}
}
