package mlx

import (
	"encoding/json"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// serverMemory reads what the servers keep and allow beside the model.
func (s *settings) serverMemory(r *engine.FlagReader, u *engine.Usage) {
	s.ssd = r.Bool("paged_ssd_cache", false) && !r.Bool("no_cache", false)
	s.blockTokens = r.Int("paged_cache_block_size", 256, 1, maxStep)
	s.prompt = size(r, "prompt_cache_bytes")
	s.hot, s.limit = size(r, "hot_cache_max_size"), size(r, "memory_guard_gb")
	if text, ok := r.Flags["max_process_memory"].(string); ok && strings.HasSuffix(text, "%") {
		share, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || share <= 0 || share > 100 {
			r.Fail(model.Errorf(model.InvalidArgument, "flags.max_process_memory", "%q is no share of memory", text))
			return
		}
		s.limitShare = share / 100
	} else if text != "auto" && text != "disabled" {
		s.limit = max(s.limit, size(r, "max_process_memory"))
	}
	if s.server == serverOMLX && s.limit == 0 && s.limitShare == 0 {
		u.Assume("flags.max_process_memory", "auto", "oMLX leaves the system 6 GiB, and stays under Metal's limit")
	}
	if s.server != serverOMLX && (s.hot > 0 || s.ssd || s.limit > 0 || s.limitShare > 0) {
		r.Fail(model.Errorf(model.InvalidArgument, "flags.server", "hot and SSD caches and memory limits are oMLX's").
			WithHint("set flags.server to omlx, or leave them out"))
	}
}

// size reads bytes: a number of GiB, or text such as "8GB". Absent is 0.
func size(r *engine.FlagReader, name string) engine.Bytes {
	unit, text := float64(engine.GiB), ""
	switch v := r.Flags[name].(type) {
	case nil:
		return 0
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	case int64:
		text = strconv.FormatInt(v, 10)
	case int:
		text = strconv.Itoa(v)
	case json.Number:
		text = v.String()
	case string:
		text = strings.ToUpper(strings.ReplaceAll(v, " ", ""))
	}
	if name == "prompt_cache_bytes" {
		unit = 1
	}
	for _, suffix := range [...]struct {
		text string
		unit engine.Bytes
	}{{"TIB", engine.TiB}, {"GIB", engine.GiB}, {"MIB", engine.MiB}, {"TB", engine.TiB}, {"GB", engine.GiB}, {"MB", engine.MiB}, {"G", engine.GiB}, {"M", engine.MiB}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(text, suffix.text); ok {
			text, unit = rest, float64(suffix.unit)
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n*unit > 1<<50 {
		r.Fail(model.Errorf(model.InvalidArgument, "flags."+name, "%v is not a size", r.Flags[name]).WithHint("write one such as 8GB"))
		return 0
	}
	return engine.Bytes(n * unit)
}

const (
	// omlxReserve is what oMLX's balanced tier leaves the system: logs show
	// ceilings of 26 of 32, 58 of 64 and 506 of 512 GiB.
	omlxReserve = 6 * engine.GiB
	// omlxHard is the part of its ceiling above which oMLX refuses requests.
	omlxHard = 0.95
	// lmStudioReserve is what LM Studio's context fit leaves of the working
	// set, or 5 % of it when that is more (mlx-engine pull request 345).
	lmStudioReserve = 3 * engine.GiB
)

// budget is what the server takes of a device at most. Metal's limit is the
// device's; the servers stay below it.
func (s *settings) budget(d engine.Device) engine.Bytes {
	b := min(d.Usable, d.Free)
	switch s.server {
	case serverOMLX:
		ceiling := d.Total - omlxReserve
		if s.limit > 0 {
			ceiling = s.limit
		}
		if s.limitShare > 0 {
			ceiling = engine.Bytes(float64(d.Total) * s.limitShare)
		}
		b = engine.Bytes(float64(min(b, max(0, ceiling))) * omlxHard)
	case serverLMStudio:
		b -= max(lmStudioReserve, b/20)
	}
	return max(0, b)
}
