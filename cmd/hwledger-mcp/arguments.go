package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"hwledger/internal/schema"
)

// arguments are a tool's arguments as written on a command line, and the
// command's own switches among them.
type arguments struct {
	schema   *schema.Schema
	switches []string

	on         map[string]bool // switches that were given
	positional []string
	values     map[string]any
}

// parse reads "--name value", "--name=value" and "name=value" for the
// arguments of the tool, with - for _ at will, and "flags.name=value" for
// members of objects; "name=@file" takes the value from a file. Values keep their text when they do not have the
// argument's type: the tool says what is wrong with them.
func (a *arguments) parse(args []string) error {
	a.on, a.values = map[string]bool{}, map[string]any{}
	for i := 0; i < len(args); i++ {
		word := args[i]
		dashed := strings.HasPrefix(word, "-") && word != "-"
		name, value, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if !dashed && (!given || !isName(name)) {
			a.positional = append(a.positional, word)
			continue
		}
		name = strings.ReplaceAll(name, "-", "_")
		if slices.Contains(a.switches, name) && !given {
			a.on[name] = true
			continue
		}
		if !given {
			switch {
			case a.isBool(name):
				value = "true"
			case i+1 == len(args):
				return fmt.Errorf("%s needs a value", word)
			default:
				i++
				value = args[i]
			}
		}
		if path, ok := strings.CutPrefix(value, "@"); ok {
			var err error
			if value, err = readValue(path); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := a.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// maxValue is more than any tool takes.
const maxValue = 64 << 20

// readValue reads a file as an argument's value.
func readValue(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxValue+1))
	if err == nil && len(b) > maxValue {
		err = fmt.Errorf("%s has more than %d bytes", path, maxValue)
	}
	return string(b), err
}

// isName reports whether s can be an argument's name, so that a path or a
// formula with = in it is none.
func isName(s string) bool {
	for _, r := range s {
		if r != '_' && r != '-' && r != '.' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func (a *arguments) isBool(name string) bool {
	p := a.schema.Property(name)
	return p != nil && p.Schema.Type == "boolean"
}

func (a *arguments) set(name, value string) error {
	if object, member, ok := strings.Cut(name, "."); ok {
		m, ok := a.values[object].(map[string]any)
		if !ok {
			m = map[string]any{}
			a.values[object] = m
		}
		m[member] = literal(value)
		return nil
	}
	if _, twice := a.values[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	var typ string
	if p := a.schema.Property(name); p != nil {
		typ = p.Schema.Type
	}
	switch typ {
	case "string":
		a.values[name] = value
	case "integer", "number":
		a.values[name] = value
		if _, err := strconv.ParseFloat(value, 64); err == nil && json.Valid([]byte(value)) {
			a.values[name] = json.Number(value)
		}
	case "boolean", "object", "array":
		a.values[name] = literal(value)
	default: // one of several types, or unknown
		a.values[name] = value
		if strings.HasPrefix(value, "{") {
			a.values[name] = literal(value)
		}
	}
	return nil
}

// literal reads a value as JSON when it is, else as text.
func literal(value string) any {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	return value
}

// json returns the arguments as the tool takes them.
func (a *arguments) json() (json.RawMessage, error) { return json.Marshal(a.values) }

// describe prints the arguments of a tool.
func describe(e *env, s *schema.Schema) {
	fmt.Fprint(e.stdout, "\nArguments, as --name VALUE or name=VALUE:\n")
	for _, p := range s.Properties {
		fmt.Fprintf(e.stdout, "  %s\n", strings.ReplaceAll(p.Name, "_", "-"))
		text := p.Schema.Description
		if len(p.Schema.Enum) > 0 {
			text += " One of: " + strings.Join(p.Schema.Enum, ", ") + "."
		}
		if p.Schema.Default != nil {
			text += " Default: " + strings.Trim(string(p.Schema.Default), `"`) + "."
		}
		fmt.Fprintf(e.stdout, "      %s\n", text)
	}
}
