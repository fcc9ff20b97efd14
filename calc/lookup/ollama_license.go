package lookup

import "strings"

// addLicense takes the licence from its text when that is a well-known one,
// else the model's own word for it, else the text's first line.
func (r *Result) addLicense(text, from string) {
	name := spdx(text)
	if name == "" && r.Model.License == "" {
		name = firstLine(text)
	}
	if name != "" && r.License == "" {
		r.License = name
		r.Provenance = append(r.Provenance, fact("license", name, from))
	}
}

// firstLine returns the first line that says something.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if s := Clean(line, MaxText); s != "" {
			return s
		}
	}
	return ""
}

// spdx recognises the text of common licences by its opening and returns the
// name that the Hub has for it, "" for others. One that calls itself modified
// is another licence.
func spdx(text string) string {
	head := strings.ToLower(strings.Join(strings.Fields(text[:min(len(text), 4096)]), " "))
	opening := head[:min(len(head), 200)]
	if strings.Contains(opening, "modified") {
		return ""
	}
	for _, l := range [...]struct{ id, first, then string }{
		{"apache-2.0", "apache license", "version 2.0"},
		{"mit", "", "permission is hereby granted, free of charge, to any person obtaining a copy"},
		{"agpl-3.0", "gnu affero general public license", "version 3"},
		{"lgpl-3.0", "gnu lesser general public license", "version 3"},
		{"gpl-3.0", "gnu general public license", "version 3"},
		{"cc-by-nc-4.0", "attribution-noncommercial 4.0 international", ""},
		{"cc-by-4.0", "attribution 4.0 international", ""},
	} {
		if strings.Contains(opening, l.first) && strings.Contains(head, l.then) {
			return l.id
		}
	}
	return ""
}
