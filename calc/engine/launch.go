package engine

import "hwledger/calc/model"

// Launch asks for the command line that makes an engine do what was planned.
type Launch struct {
	Model *model.Model
	// Ref is what the engine loads: a repository's name or a path, as the
	// engine itself takes it.
	Ref string
	// Load is the plan's load, every open number filled in.
	Load Load
	// Hardware is what was planned for; no devices when none was given.
	Hardware Hardware
	// Host and Port are where the server listens.
	Host string
	Port int
}

// Command starts an engine.
type Command struct {
	// Argv is the program and its arguments, for exec without a shell.
	Argv []string
	// Env are the variables to set, by name. Secrets are never in it: their
	// names are in Secrets.
	Env map[string]string
	// Secrets are variables that the caller has to set, such as an API key.
	Secrets []string
	// Files are what the engine reads beside its arguments, by name: a
	// Modelfile, a JSON or YAML configuration.
	Files map[string]string
	// Image is the container image that has the engine, "" when there is none.
	Image string
	// Program is where the image has Argv's program, "" when it is in its path
	// under that name.
	Program string
	// Devices is whose accelerators a container needs, as Device.Vendor; "" when
	// it needs none, or none can be given to it.
	Devices string
	// Store is the directory of the image that downloaded models are kept in,
	// "" for Hugging Face's own under root's home.
	Store string
	// Local is the file or directory of this machine that Argv names, "" when
	// the engine downloads the model.
	Local string
	// Serve is the server's own command where Argv only speaks to it, as
	// Ollama's does.
	Serve []string
	// Notes say what the command cannot make the engine do, and what to know.
	Notes []string
}

// Launcher is an engine that can be started by a command.
type Launcher interface {
	// Launch returns the command. Errors are *model.Error: a load that the
	// engine's options cannot express.
	Launch(Launch) (*Command, error)
}
