package sidecar

import (
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// option returns the option's name of a word of a command line, "" when it is
// none: a value, or a negative number.
func option(word string) string {
	if len(word) < 2 || word[0] != '-' {
		return ""
	}
	if _, err := strconv.ParseFloat(word, 64); err == nil {
		return ""
	}
	name, _, _ := strings.Cut(word, "=")
	return name
}

// checkArgs refuses options that are never passed, and those that the program
// does not accept; accepted is nil when that is not known.
func (e *Engine) checkArgs(args []string, accepted map[string]bool) error {
	for i, w := range args {
		name := option(w)
		if i < len(e.Lead) && w == e.Lead[i] || name != "" && name == e.KeyOption && i+1 < len(args) && args[i+1] == keyPlace {
			continue
		}
		switch {
		case strings.ContainsAny(w, "\x00\n\r"):
			return model.Errorf(model.InvalidArgument, "", "a word of the command has control characters")
		case name == "":
		case slices.Contains(e.Refused, name):
			return model.Errorf(model.Denied, "", "%s is never passed to %s", name, e.Name).WithHint("start the engine by hand when it has to have it")
		case accepted != nil && !accepted[name]:
			return model.Errorf(model.InvalidArgument, "", "the %s that is installed does not know %s", e.Name, name).
				WithHint("update the engine, or leave out what asks for the option")
		}
	}
	return nil
}

// keyPlace stands for the file with the key until there is one. No caller's
// value has such characters.
const keyPlace = "<key>"

// hasKey reports whether the engine with these arguments wants a key.
func (e *Engine) hasKey(args []string) bool {
	return e.KeyEnv != "" || slices.Contains(args, keyPlace)
}

// WithOwnArgs returns args and those that the engine always gets, of which the
// program's help has the option. Without a help none are added.
func (e *Engine) WithOwnArgs(args []string, accepted map[string]bool) ([]string, error) {
	if err := e.checkArgs(args, accepted); err != nil {
		return nil, err
	}
	out := slices.Clone(args)
	for _, own := range e.Args {
		if accepted[own[0]] && !slices.Contains(out, own[0]) {
			out = append(out, own...)
		}
	}
	if e.KeyOption != "" && accepted[e.KeyOption] {
		out = append(out, e.KeyOption, keyPlace)
	}
	return out, nil
}

// onPort returns args with the address 127.0.0.1 and the port in them.
func (e *Engine) onPort(args []string, port int) []string {
	out := without(args, e.HostFlag, e.PortFlag)
	if e.HostFlag != "" {
		out = append(out, e.HostFlag, "127.0.0.1")
	}
	return append(out, e.PortFlag, strconv.Itoa(port))
}

// onSocket returns args with the socket in the place of address and port.
func (e *Engine) onSocket(args []string, path string) []string {
	return append(without(args, e.HostFlag, e.PortFlag), e.SocketFlag, path)
}

// without returns args but for the options and their values.
func without(args []string, options ...string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if option(args[i]) != "" && slices.Contains(options, args[i]) {
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}
