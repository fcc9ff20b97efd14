package tools

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/sidecar"
)

// shellWords are characters that mean something to a shell. None is ever
// involved; that they are refused keeps it so when somebody copies a command.
const shellWords = "|&;<>()$`\\\"'*?[]{}!#~\n\r\t\x00"

// pathWords are those of shellWords that a path may not have. On Windows a backslash
// is between folders, and short names have a tilde; its shells read neither.
var pathWords = func() string {
	if filepath.Separator == '\\' {
		return strings.NewReplacer(`\`, "", "~", "").Replace(shellWords)
	}
	return shellWords
}()

// words refuses texts that could be read as something else than a value.
func (q SidecarLaunch) words() error {
	texts := map[string]string{
		"model": q.Model, "weights": q.Weights, "kv_cache_dtype": q.KVCacheDType, "engine_version": q.EngineVersion, "name": q.Name, "program": q.Program,
	}
	for name, v := range q.Flags {
		texts["flags"] += name
		if s, ok := v.(string); ok {
			texts["flags."+name] = s
		}
	}
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		s, refused := texts[field], shellWords
		switch {
		case field == "model":
			refused = pathWords
		case strings.HasPrefix(s, "/"), strings.HasPrefix(s, "."), strings.Contains(s, ".."), strings.Contains(s, ":/"), filepath.VolumeName(s) != "":
			return model.Errorf(model.InvalidArgument, field, "%.80q is a path", s).WithHint("only model may be one")
		}
		if strings.ContainsAny(s, refused) || strings.HasPrefix(s, "-") || len(s) > 4096 {
			return model.Errorf(model.InvalidArgument, field, "%.80q cannot be given to a program", s).
				WithHint("give a plain value, without characters that mean something to a shell")
		}
	}
	if len(q.Name) > mostName {
		return model.Errorf(model.InvalidArgument, "name", "the name has more than %d bytes", mostName)
	}
	return nil
}

// mostName is the longest name of a sidecar, in bytes.
const mostName = 64

// spec is what to run for a plan.
func (q SidecarLaunch) spec(ctx context.Context, opts Options, found *lookup.Result, req calc.Request, res *calc.Result) (sidecar.Spec, error) {
	s := opts.Sidecars
	ref, err := s.source(q.Model, found, res.Engine, opts.Offline)
	if err != nil {
		return sidecar.Spec{}, err
	}
	out := sidecar.Spec{
		Name: q.Name, Model: ref, Lifetime: q.Lifetime, TTL: time.Duration(q.TTL) * time.Second, Predicted: figures(res),
		ContextTokens: res.Load.ContextTokens, Sequences: res.Load.Sequences, BatchTokens: res.Load.BatchTokens, GPULayers: res.Load.GPULayers,
	}
	c, err := calc.Launch(req, res, ref, calc.Endpoint{Host: "127.0.0.1", Port: 1})
	if err != nil && res.Engine != "transformers" {
		return out, err
	}
	e, err := s.adapter(q.Program, res.Engine, c)
	if err != nil {
		return out, err
	}
	out.Engine = e.Name
	switch {
	case e.Daemon != nil:
		out.Version, err = daemonVersion(ctx, e)
		return out, err
	case e.Talk == sidecar.Stdio:
		return s.helper(ctx, e, c, out, opts.Offline)
	}
	p, err := s.Programs.Find(ctx, e)
	if err != nil {
		return out, err
	}
	out.Program, out.Version, out.Env, out.Files = p.Path, p.Version, map[string]string{}, c.Files
	maps.Copy(out.Env, c.Env)
	if opts.Offline || fromDisk(found) {
		out.Env["HF_HUB_OFFLINE"] = "1"
	}
	out.Args, err = e.WithOwnArgs(c.Argv[1:], p.Options)
	return out, err
}

// daemonVersion asks a daemon for its release, and so whether it runs.
func daemonVersion(ctx context.Context, e *sidecar.Engine) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v, err := e.Daemon.Version(ctx)
	if err != nil {
		why := model.Errorf(model.EngineNotInstalled, "engine", "%s does not answer at %s", e.Name, e.Daemon.URL())
		why.Err = err
		return "", why.WithHint("start it, or name another engine")
	}
	return v, nil
}

// helper is what runs a helper: Python with its script, which gets the wrapped
// program's arguments by message.
func (s *Sidecars) helper(ctx context.Context, e *sidecar.Engine, c *engine.Command, out sidecar.Spec, offline bool) (sidecar.Spec, error) {
	if s.Helper == nil {
		return out, model.Errorf(model.EngineNotInstalled, "program", "no helpers are set up here")
	}
	h, err := s.Helper(e.Name)
	if err != nil {
		return out, err
	}
	if h.Prepare != nil && offline {
		return out, model.Errorf(model.Offline, "program", "the Python packages of %s are not here, and the network is not to be used", e.Name).
			WithHint("start the server without --offline once, or name another program")
	}
	out.Program, out.Args, out.Prepare, out.Lifetime = h.Python, []string{"-u", h.Script}, h.Prepare, sidecar.Session
	if e.Plans != "llama.cpp" {
		return out, nil
	}
	// The wrapped server is checked as it would be on its own.
	server := s.Manager.For(e.Plans)[0]
	p, err := s.Programs.Find(ctx, server)
	if err != nil {
		return out, err
	}
	args, err := server.WithOwnArgs(c.Argv[1:], p.Options)
	if err != nil {
		return out, err
	}
	out.Version = p.Version
	out.HelperArgs = append([]string{p.Path}, args...)
	return out, nil
}

// adapter chooses the program: the one that is named, or the one that the
// plan's command is for.
func (s *Sidecars) adapter(name, plans string, c *engine.Command) (*sidecar.Engine, error) {
	all := s.Manager.For(plans)
	var names []string
	for _, e := range all {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	if len(all) == 0 {
		return nil, model.Errorf(model.InvalidArgument, "engine", "%s is no engine that can be launched", plans).WithHint("name an engine such as llama.cpp, vllm or ollama")
	}
	if name != "" {
		e := model.Errorf(model.InvalidArgument, "program", "%s has no program %q", plans, name)
		e.Candidates = names
		return nil, e.WithHint("use one of: %s", strings.Join(names, ", "))
	}
	for _, e := range all {
		if c != nil && slices.Contains(e.Programs, c.Argv[0]) {
			return e, nil
		}
	}
	return all[0], nil
}

// figures are the plan's totals by what they are for, devices and host
// together, as a log is read.
func figures(res *calc.Result) []sidecar.Figure {
	var out []sidecar.Figure
	at := map[string]int{}
	for i := range res.Terms {
		t := &res.Terms[i]
		name := t.Category.String()
		n, there := at[name]
		if !there {
			n = len(out)
			at[name] = n
			out = append(out, sidecar.Figure{Name: name})
		}
		times := engine.Bytes(max(1, len(t.On)))
		low, high := t.Range()
		out[n].Bytes += int64(times * t.Bytes)
		out[n].Low += int64(times * low)
		out[n].High += int64(times * high)
	}
	return out
}

// source is what the engine loads. A file or folder has to be inside one of
// the roots; a repository is fetched by the engine where that is allowed.
func (s *Sidecars) source(given string, found *lookup.Result, plans string, offline bool) (string, error) {
	if plans == "ollama" || plans == "lmstudio" {
		_, name, ok := strings.Cut(given, ":")
		if !ok || !strings.HasPrefix(given, plans+":") {
			return "", model.Errorf(model.InvalidArgument, "model", "%s loads models of its own store", plans).WithHint("give %s:NAME", plans)
		}
		return name, nil
	}
	if strings.HasPrefix(given, "ollama:") {
		return s.blob(found, plans)
	}
	for i, f := range found.Files {
		if strings.EqualFold(filepath.Ext(f.Path), ".gguf") && filepath.IsAbs(f.Path) && found.Model.Format == model.FormatGGUF {
			for _, part := range found.Files[i+1:] { // the engine opens them too
				if filepath.IsAbs(part.Path) {
					if _, err := s.inside(part.Path); err != nil {
						return "", err
					}
				}
			}
			return s.inside(f.Path)
		}
	}
	switch info, err := os.Stat(given); {
	case err == nil && info.IsDir():
		return s.folder(given)
	case err == nil:
		return s.folder(filepath.Dir(given))
	case strings.HasPrefix(given, "mlx:"), plans == "llama.cpp", offline && !fromDisk(found):
		return "", model.Errorf(model.NotReady, "model", "the weights of %s are not on this machine", found.Reference).
			WithHint("download them first, into a folder that the server may load from")
	}
	ref := strings.TrimPrefix(strings.TrimPrefix(given, "catalog:"), "hf:")
	if filepath.IsAbs(ref) || strings.Contains(ref, "..") || strings.Contains(ref, ":/") || strings.HasPrefix(ref, "-") {
		return "", model.Errorf(model.Denied, "model", "%.200q is no repository", ref).WithHint("give org/name, or a file in a folder that models are loaded from")
	}
	return ref, nil
}

// blob is the file of a model in Ollama's store, for an engine that opens GGUF
// files. What Ollama keeps in a form of its own is refused with what it is.
func (s *Sidecars) blob(found *lookup.Result, plans string) (string, error) {
	var weights []string
	for _, f := range found.Files {
		if f.Role == "weights" && filepath.IsAbs(f.Path) {
			weights = append(weights, f.Path)
		}
	}
	m := found.Model
	why := ""
	switch towers := m.Count(); {
	case plans != "llama.cpp":
		why = plans + " does not open files of Ollama's store"
	case m.Role != "":
		why = "it is a " + string(m.Role) + ", no language model"
	case m.Format != model.FormatGGUF:
		why = "Ollama keeps it as single tensors, which is no GGUF file"
	case len(weights) == 0:
		return "", model.Errorf(model.NotReady, "model", "the store with %s cannot be read here, only Ollama be asked about it", found.Reference).
			WithHint("set OLLAMA_MODELS to its store, or take the engine ollama")
	case len(weights) > 1:
		why = "its file is in parts, which llama.cpp finds by names that they do not have here"
	case towers.Vision > 0 || towers.Audio > 0:
		why = "its file has the encoder of images or sound in it, which llama.cpp wants in one of its own"
	default:
		return s.inside(weights[0])
	}
	return "", model.Errorf(model.InvalidArgument, "model", "%s cannot be given to %s: %s", found.Reference, plans, why).
		WithHint("take the engine ollama, or the model's own repository (org/name)")
}

// fromDisk reports whether the model was read from a cache on this disk.
func fromDisk(found *lookup.Result) bool {
	return slices.ContainsFunc(found.Files, func(f lookup.File) bool { return filepath.IsAbs(f.Path) })
}

// mostEntries bounds what is looked at in a model's folder.
const mostEntries = 10000

// folder returns a folder that is inside a root with all that is in it: an
// engine follows the links of a model's folder.
func (s *Sidecars) folder(path string) (string, error) {
	path, err := s.inside(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", err
	}
	n := 0
	err = filepath.WalkDir(path, func(entry string, d fs.DirEntry, err error) error {
		if n++; err != nil || n > mostEntries {
			return model.Errorf(model.Denied, "model", "the files in %s cannot be looked at", path).WithHint("give a folder with one model")
		}
		if d.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		if _, err := s.inside(entry); err != nil {
			return err
		}
		if info, err := os.Stat(entry); err != nil || info.IsDir() { // what is in there was not looked at
			return model.Errorf(model.Denied, "model", "%s has a link to another folder", path).WithHint("give a folder whose links are to files")
		}
		return nil
	})
	return path, err
}

// inside returns the path, with the links of its folder resolved, when what it
// leads to is inside a root. Its own name stays: parts of a model are found by
// their names, which the Hub's cache has for links.
func (s *Sidecars) inside(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	unreadable := model.Errorf(model.ModelNotFound, "model", "%s cannot be read", path)
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", unreadable
	}
	resolved := filepath.Join(dir, filepath.Base(path))
	real, err := filepath.EvalSymlinks(resolved)
	if err != nil {
		return "", unreadable
	}
	for _, root := range s.Roots {
		root, err := filepath.EvalSymlinks(root)
		if err != nil {
			continue // it is not there
		}
		if rel, err := filepath.Rel(root, real); err == nil && filepath.IsLocal(rel) {
			if strings.ContainsAny(resolved, pathWords) {
				return "", model.Errorf(model.InvalidArgument, "model", "the path has characters that mean something to a shell")
			}
			return resolved, nil
		}
	}
	return "", model.Errorf(model.Denied, "model", "%s is outside the folders that models are loaded from", path).
		WithHint("they are: %s; the server takes more with --model-root", strings.Join(s.Roots, ", "))
}
