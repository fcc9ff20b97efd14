// Package docgen writes the reference of the tools that stands in the README.
package docgen

import (
	"bytes"
	"fmt"
	"strings"

	"hwledger/internal/schema"
	"hwledger/tools"
)

// The markers between which the reference stands.
const (
	Begin = "<!-- tools:begin -->"
	End   = "<!-- tools:end -->"
)

// Markdown returns the reference of the tools: what each does and a table of
// its arguments.
func Markdown(list []tools.Tool) string {
	var b strings.Builder
	for i := range list {
		t := &list[i]
		fmt.Fprintf(&b, "### `%s`\n\n%s\n\n", t.Name, t.Description)
		fmt.Fprintf(&b, "Toolset `%s`; %s.\n\n", t.Toolset, effect(t.Effect))
		b.WriteString("| argument | type | default | meaning |\n|---|---|---|---|\n")
		for _, p := range t.In.Properties {
			row(&b, "", &p)
		}
		fmt.Fprintf(&b, "\nReturns `%s`.\n", strings.Join(t.Out.Names(), "`, `"))
		if i < len(list)-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// row writes an argument, and those of an object below it.
func row(b *strings.Builder, above string, p *schema.Property) {
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", above+p.Name, typ(p.Schema), fallback(p), cell(p.Schema.Description))
	for i := range p.Schema.Properties {
		row(b, above+p.Name+".", &p.Schema.Properties[i])
	}
}

func effect(e tools.Effect) string {
	s := "reads only"
	switch {
	case e.Destructive:
		s = "may destroy something"
	case e.Writes:
		s = "changes something"
	}
	if e.Network {
		s += ", uses the network"
	}
	return s
}

func typ(s *schema.Schema) string {
	if len(s.AnyOf) > 0 {
		parts := make([]string, len(s.AnyOf))
		for i, b := range s.AnyOf {
			parts[i] = typ(b)
		}
		return strings.Join(parts, " or ")
	}
	if len(s.Enum) > 0 {
		return "`" + strings.Join(s.Enum, "` `") + "`"
	}
	return s.Type
}

func fallback(p *schema.Property) string {
	switch {
	case p.Required:
		return "required"
	case p.Schema.Default == nil:
		return ""
	}
	return "`" + strings.Trim(string(p.Schema.Default), `"`) + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// Replace returns doc with text between its markers. It fails when doc does
// not have both.
func Replace(doc []byte, text string) ([]byte, error) {
	from := bytes.Index(doc, []byte(Begin))
	to := bytes.Index(doc, []byte(End))
	if from < 0 || to < from {
		return nil, fmt.Errorf("there are no markers %s and %s", Begin, End)
	}
	var b bytes.Buffer
	b.Write(doc[:from+len(Begin)])
	b.WriteString("\n" + text)
	b.Write(doc[to:])
	return b.Bytes(), nil
}
