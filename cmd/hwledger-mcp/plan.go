package main

import (
	"errors"
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
	if err := planArguments(&a); err != nil {
		return misuse(e, "plan: %v", err)
	}
	draw, err := pictureFile(&a)
	if err != nil {
		return misuse(e, "plan: %v", err)
	}
	raw, err := a.json()
	if err != nil {
		return misuse(e, "plan: %v", err)
	}
	r := s.Call(e.ctx, planTool, raw)
	p, _ := r.Answer.(*tools.Plan)
	if draw != "" && p != nil {
		if err := writePicture(draw, p); err != nil {
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

// pictureFile takes the name of a picture's file out of the arguments, where
// the tool only has a switch; "" for none.
func pictureFile(a *arguments) (string, error) {
	v, given := a.values["picture"]
	if !given {
		return "", nil
	}
	delete(a.values, "picture")
	file, _ := v.(string)
	if ext := filepath.Ext(file); ext != ".png" && ext != ".svg" {
		return "", errors.New("a picture goes into a file: --picture=plan.png or --picture=plan.svg")
	}
	return file, nil
}

// writePicture draws a plan into a file, in the form that its name ends with.
func writePicture(file string, p *tools.Plan) error {
	image, err := p.Chart().SVG(), error(nil)
	if filepath.Ext(file) == ".png" {
		image, err = p.Chart().PNG()
	}
	if err == nil {
		err = os.WriteFile(file, image, 0o644)
	}
	if err != nil {
		return fmt.Errorf("drawing the plan: %w", err)
	}
	return nil
}

func planHelp(e *env) {
	fmt.Fprint(e.stdout, `
  --json              print the answer's JSON object
  --fail-unless-fits  exit with 3 unless the verdict is "fits"
  --picture=FILE      draw the plan into FILE.png or FILE.svg

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
