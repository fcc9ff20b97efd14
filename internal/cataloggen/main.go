// Command cataloggen packs the reviewed table of models,
// calc/lookup/catalog/models.jsonl, into the catalogue that is embedded in the
// binary. It refuses a table with an entry whose configuration does not parse
// or does not give the recorded count.
//
//	go run ./internal/cataloggen           write catalog.bin
//	go run ./internal/cataloggen -report   print every entry against its count
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model/hfconfig"
)

func main() {
	report := flag.Bool("report", false, "print every entry against its count and write nothing")
	dir := flag.String("dir", "", "directory of models.jsonl; found from the working directory by default")
	flag.Parse()
	if err := run(*dir, *report); err != nil {
		fmt.Fprintln(os.Stderr, "cataloggen:", err)
		os.Exit(1)
	}
}

func run(dir string, report bool) error {
	if dir == "" {
		dir = find()
	}
	f, err := os.Open(filepath.Join(dir, "models.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := catalog.ReadTable(f)
	if err != nil {
		return err
	}
	var bad []error
	for i := range entries {
		e := &entries[i]
		err := Check(e)
		if report {
			fmt.Println(describe(e, err))
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", e.ID, err))
		}
	}
	if report {
		return nil
	}
	if len(bad) > 0 {
		return errors.Join(bad...)
	}
	b, err := catalog.Pack(entries)
	if err != nil {
		return err
	}
	fmt.Printf("%d models, %d bytes\n", len(entries), len(b))
	return os.WriteFile(filepath.Join(dir, "catalog.bin"), b, 0o644)
}

// find returns the table's directory from the repository root or, under go
// generate, from the package itself.
func find() string {
	const at = "calc/lookup/catalog"
	if _, err := os.Stat(at); err == nil {
		return at
	}
	return "."
}

// Check reports what is wrong with an entry.
func Check(e *catalog.Entry) error {
	m, err := hfconfig.Parse(e.Config)
	if err != nil {
		return err
	}
	for _, f := range m.Facts {
		if f.Value == "weights not counted" && e.Why == "" {
			return fmt.Errorf("%s: %s", f.Field, f.From)
		}
	}
	if got := m.Count().Total; e.Params > 0 && got != e.Params {
		return fmt.Errorf("the configuration gives %d parameters, recorded are %d (%+d)", got, e.Params, got-e.Params)
	}
	if e.Published > 0 && e.Why == "" {
		return fmt.Errorf("published are %d parameters and nothing explains the difference", e.Published)
	}
	return nil
}

func describe(e *catalog.Entry, err error) string {
	m, _ := hfconfig.Parse(e.Config)
	var total, mtp, vision, audio int64
	if m != nil {
		c := m.Count()
		total, mtp, vision, audio = c.Total, c.MTP, c.Vision, c.Audio
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%v", e.ID, total, mtp, vision, audio, e.Params, e.Published, e.Check, err)
}
