package scoring

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/engine"
)

// logRow is one start of llama.cpp or a relative as a user's log printed it.
// Pointers are nil where the log does not say; sizes are MiB as printed.
type logRow struct {
	ID, Engine, Model, Backend, GPU, Notes, Evidence, Completeness string

	Version string `json:"engine_version"`
	Arch    string
	Quant   string

	Layers  count `json:"n_layer"`
	Heads   count `json:"n_head"`
	KVHeads count `json:"n_head_kv"`
	Hidden  count `json:"n_embd"`
	Experts count `json:"n_expert"`
	Vocab   count `json:"n_vocab"`

	Ctx       *int64
	NSeqMax   *int64   `json:"n_seq_max"`
	NBatch    *int64   `json:"n_batch"`
	NUBatch   *int64   `json:"n_ubatch"`
	Flash     *bool    `json:"flash_attn"`
	TypeK     string   `json:"kv_type_k"`
	TypeV     string   `json:"kv_type_v"`
	GPULayers *int64   `json:"n_gpu_layers"`
	FileGiB   *float64 `json:"file_size_gib"`

	Observed logFigures
}

// count is a number that a log prints once for all layers; nil when it prints
// several ("2 on 6 layers, 0 elsewhere") or none.
type count struct{ *int64 }

// UnmarshalJSON reads a number and takes all else for unknown.
func (c *count) UnmarshalJSON(raw []byte) error {
	c.int64 = nil
	var n int64
	if json.Unmarshal(raw, &n) == nil && n > 0 {
		c.int64 = &n
	}
	return nil
}

// logFigures are the figures of a log: numbers, or numbers for each buffer.
type logFigures map[string]json.RawMessage

// number returns a figure, and whether the log has it.
func (o logFigures) number(name string) (float64, bool) {
	var x *float64
	if json.Unmarshal(o[name], &x) != nil || x == nil {
		return 0, false
	}
	return *x, true
}

func (o logFigures) bool(name string) (value, ok bool) {
	var x *bool
	if json.Unmarshal(o[name], &x) != nil || x == nil {
		return false, false
	}
	return *x, true
}

// buffers returns the sizes of a figure by buffer type.
func (o logFigures) buffers(name string) map[string]float64 {
	var raw map[string]json.RawMessage
	if json.Unmarshal(o[name], &raw) != nil {
		return nil
	}
	out := map[string]float64{}
	for k, v := range raw {
		var x float64
		if json.Unmarshal(v, &x) == nil && !strings.Contains(k, "fail") && !strings.Contains(k, "OOM") {
			out[k] = x
		}
	}
	return out
}

// sums adds the buffers of devices and those of the host. A second copy of
// weights that the processor repacked is left out: the plan has the mapped
// ones.
func sums(buffers map[string]float64) (devices, host float64, any bool) {
	for k, v := range buffers {
		switch {
		case k == "CPU_REPACK" && len(buffers) > 1:
		case engine.HostBuffer(k):
			host += v
		default:
			devices += v
		}
		any = true
	}
	return devices, host, any
}

// devices returns how many accelerators the log's buffers name.
func (r *logRow) devices() int {
	if strings.EqualFold(r.Backend, "cpu") {
		return 0
	}
	var names []string
	for _, f := range []string{"model_buffer_mib", "kv_buffer_mib", "compute_buffer_mib"} {
		for k := range r.Observed.buffers(f) {
			k, _, _ = strings.Cut(k, " ")
			k, _, _ = strings.Cut(strings.TrimSuffix(k, "_Mapped"), "-")
			if !engine.HostBuffer(k) && !slices.Contains(names, k) {
				names = append(names, k)
			}
		}
	}
	n := max(1, len(names))
	if m := timesHint.FindStringSubmatch(r.GPU); m != nil {
		if k, _ := strconv.Atoi(m[1]); k > n {
			n = min(k, 16)
		}
	}
	return n
}

var (
	timesHint    = regexp.MustCompile(`^(\d{1,2})x `)
	rollbackHint = regexp.MustCompile(`rs_seq[ =:]*(\d{1,2})\b`)
	hostHint     = regexp.MustCompile(`(?i)experts? (is |are )?(on|in) (the )?(cpu|host)|cpu[- ]experts?|overridden to cpu|experts? offload|-ot\b|n-cpu-moe`)
	threadHint   = regexp.MustCompile(`posted in an ik_llama\.cpp thread`)
	dateHint     = regexp.MustCompile(`\b(20\d\d)(?:-(\d\d))?\b`)
	buildHint    = regexp.MustCompile(`\bb(\d{4,6})\b`)
	releaseHint  = regexp.MustCompile(`\b(\d+\.\d+\.\d+)\b`)
	quantHint    = regexp.MustCompile(`(?i)\b(UD-)?(I?Q\d_[A-Z0-9_]+|Q\d_0|TQ\d_0|BF16|F16|MXFP4)\b`)
)

// hostExperts reports that experts stay on the host, which rows have no field
// for.
func (r *logRow) hostExperts() bool {
	return hostHint.MatchString(r.Notes)
}

// rollback returns the snapshots of recurrent state that the log names.
func (r *logRow) rollback() int64 {
	if x, ok := r.Observed.number("rs_seq"); ok {
		return int64(x)
	}
	if m := rollbackHint.FindStringSubmatch(r.Notes); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	return 0
}

// builds are llama.cpp's build numbers at the turn of years, by months from
// 2023-01; between them builds are taken to come evenly.
var builds = []struct{ month, build int }{{6, 700}, {12, 1750}, {24, 4400}, {36, 7600}, {44, 10700}}

var (
	ikThread   = regexp.MustCompile(`^ik-(\d{2,4})-`)
	inBrackets = regexp.MustCompile(`\(([^()]*)\)`)
	shapeHint  = regexp.MustCompile(`([\w.-]*\d[\w.-]*) (shape|family|class)`)
	slashHint  = regexp.MustCompile(`([\d.]+)/[\d.]+(-|\b)`)
	fileWords  = regexp.MustCompile(`(?i)\.gguf\b|\b(ud[-_ ]?)?(i?q\d_?k?(_?(xxs|xs|nl|xl|s|m|l))?|i?q\d[_\d]*|bf16|f16|mxfp4|qat|ud)\b|\b\d+-layer\b|\b(class|family|variant|nvidia)\b`)
)

// names are what a log's text may call its model, most likely first: without
// file endings and types of weights, then what it says in brackets.
func (r *logRow) names() []string {
	var out []string
	add := func(s string) {
		s = strings.Trim(fileWords.ReplaceAllString(strings.ReplaceAll(s, "_K", "k"), " "), " -_,")
		s = strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == '-' || c == ',' }), "-")
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	bare := inBrackets.ReplaceAllString(r.Model, "")
	out = append(out, r.Model)
	bare = slashHint.ReplaceAllString(bare, "$1$2")
	add(bare)
	for _, m := range shapeHint.FindAllStringSubmatch(r.Model, -1) {
		add(m[1])
	}
	return out
}

// release returns the build to plan with and whether it was only guessed from
// a date.
func (r *logRow) release() (version string, guessed bool) {
	if m := buildHint.FindStringSubmatch(r.Version); m != nil {
		return "b" + m[1], false
	}
	text := r.Version
	if text == "" && threadHint.MatchString(r.Notes) {
		text = "2025-05" // that archive ends in mid-2025; its thread 264 is of 2025-03-18
		if m := ikThread.FindStringSubmatch(r.ID); m != nil && atoi(m[1]) < 300 {
			text = "2025-03"
		}
	}
	if m := ollamaHint.FindStringSubmatch(text); m != nil && strings.EqualFold(r.Engine, "ollama") {
		minor, _ := strconv.Atoi(m[1])
		for _, x := range ollamaReleases {
			if minor >= x.minor {
				text = x.month
			}
		}
	}
	m := dateHint.FindStringSubmatch(text)
	if m == nil {
		return "", true
	}
	year, _ := strconv.Atoi(m[1])
	month := 7
	if m[2] != "" {
		month, _ = strconv.Atoi(m[2])
	}
	at := (year-2023)*12 + month - 1
	for i := 1; i < len(builds); i++ {
		a, b := builds[i-1], builds[i]
		if at <= b.month || i == len(builds)-1 {
			return "b" + strconv.Itoa(max(700, min(b.build, a.build+(b.build-a.build)*(at-a.month)/(b.month-a.month)))), true
		}
	}
	return "", true
}

// ollamaReleases are the months of Ollama's releases 0.minor.
var ollamaReleases = []struct {
	minor int
	month string
}{{1, "2024-01"}, {2, "2024-07"}, {3, "2024-09"}, {4, "2024-11"}, {5, "2025-01"}, {6, "2025-04"}, {7, "2025-05"}, {9, "2025-06"}, {10, "2025-07"}, {11, "2025-08"}, {12, "2025-10"}, {13, "2025-12"}}

var ollamaHint = regexp.MustCompile(`\b0\.(\d{1,2})\.[\dx]`)

// vague reports a log that names a year and no month or build: rules changed
// several times within each.
func (r *logRow) vague() bool {
	if buildHint.MatchString(r.Version) {
		return false
	}
	m := dateHint.FindStringSubmatch(r.Version)
	return m != nil && m[2] == ""
}

// flashDefault is the build since which flash attention is on where it can be.
const flashDefault = 6325

// weights returns the row's file type, "" when it names none that has one
// known mix.
func (r *logRow) weights() string {
	for _, text := range []string{r.Quant, r.Model} {
		text = strings.NewReplacer("-", " ", ".gguf", " ", "(", " ", ")", " ").Replace(text)
		if strings.Contains(text, "UD") || strings.Contains(text, "QAT") || strings.Contains(text, "qat") {
			return "" // a mix of its maker
		}
		if m := quantHint.FindStringSubmatch(text); m != nil {
			if t := strings.ToUpper(m[2]); t != "MXFP4" {
				return t
			}
			return "MXFP4_MOE" // the file type; its other tensors are Q8_0
		}
	}
	return ""
}
