package lookup

import (
	"path"
	"regexp"
	"strings"
)

// How a key names a model. LM Studio's documentation and the source of its
// command line establish:
//   - models lie in publisher/model/file.gguf, as on the Hub;
//   - the key is short and in lower case: qwen2.5-7b-instruct stands for
//     lmstudio-community/Qwen2.5-7B-Instruct-GGUF/…-Q4_K_M.gguf, and
//     qwen2-vl-7b-instruct for a 4-bit MLX directory of mlx-community;
//   - the publisher is put before it where it is needed:
//     lmstudio-community/meta-llama-3.1-8b-instruct;
//   - @q4_k_m after it names one variant of several;
//   - embedding models have text-embedding- before their name;
//   - a model of LM Studio's catalogue is publisher/model where the publisher
//     is not that of the files: qwen/qwen3-8b stands for
//     lmstudio-community/Qwen3-8B-GGUF or …-MLX-4bit.
//
// The rule that makes keys is the application's and not public. Therefore the
// names that a model can have are compared, the most exact first, and what
// stays ambiguous is said to be.

// lmWord is a word at the end of a file's or repository's name that tells its
// format or quantization and is no part of the model's name.
var lmWord = regexp.MustCompile(`^(gguf|mlx|dwq|ud|i?q[1-8](_[a-z0-9]+)*|tq[12]_0|b?f16|fp16|fp?32|[2-8]bits?|mxfp[48](_moe)?|nvfp4|int[48])$`)

const lmEmbedding = "text-embedding-"

// lmStem returns a name in lower case without those words, and its
// quantization, "" when it names none.
func lmStem(name string) (stem, quant string) {
	stem = strings.TrimSuffix(strings.ToLower(name), ".gguf")
	if n := len("-00001-of-00003"); len(stem) > n {
		if _, split := splitPart(stem + ".gguf"); split {
			stem = stem[:len(stem)-n]
		}
	}
	for {
		i := strings.LastIndexAny(stem, "-.")
		if i <= 0 || !lmWord.MatchString(stem[i+1:]) {
			return stem, quant
		}
		if word := stem[i+1:]; quant == "" && strings.ContainsAny(word, "12345678") {
			quant = word
		}
		stem = stem[:i]
	}
}

// publisher, repo and quant are what the model's place and names say.
func (m *lmModel) publisher() string { return strings.ToLower(strings.Split(m.rel, "/")[0]) }

func (m *lmModel) repo() string {
	if parts := strings.Split(m.rel, "/"); len(parts) > 1 {
		return strings.ToLower(parts[1])
	}
	return strings.ToLower(m.rel)
}

func (m *lmModel) quant() string {
	for _, name := range [...]string{m.file, path.Base(m.dir()), m.repo()} {
		if _, quant := lmStem(name); quant != "" {
			return quant
		}
		if low := strings.ToLower(name); lmWord.MatchString(low) { // a folder for a quantization
			return low
		}
	}
	return ""
}

// lmTiers is how many kinds of names a model has.
const lmTiers = 6

// names returns the names of one kind, the most exact kind first.
func (m *lmModel) names(tier int) []string {
	repo, _ := lmStem(m.repo())
	file, _ := lmStem(m.file)
	switch tier {
	case 0:
		return []string{strings.ToLower(m.rel)}
	case 1:
		return []string{m.publisher() + "/" + m.repo()}
	case 2:
		return []string{m.repo()}
	case 3:
		return []string{m.publisher() + "/" + repo, m.publisher() + "/" + file}
	}
	return []string{repo, file, lmEmbedding + repo, lmEmbedding + file}
}

// lmMatch returns the models that a key names by the most exact kind of name
// that fits any.
func lmMatch(key string, models []lmModel) []lmModel {
	name, variant, _ := strings.Cut(strings.ToLower(key), "@")
	for tier := range lmTiers {
		want := name
		if tier == lmTiers-1 { // a publisher of the catalogue
			_, want, _ = strings.Cut(name, "/")
		}
		var hits []lmModel
		for i := range models {
			if m := &models[i]; want != "" && m.named(tier, want) && (variant == "" || m.quant() == variant) {
				hits = append(hits, *m)
			}
		}
		if len(hits) > 0 {
			return hits
		}
	}
	return nil
}

func (m *lmModel) named(tier int, want string) bool {
	for _, n := range m.names(tier) {
		if n == want {
			return true
		}
	}
	return false
}

// format returns the format by the server's names.
func (m *lmModel) format() string {
	if m.file != "" {
		return "gguf"
	}
	return "mlx"
}

// lmNarrow keeps of several models those that agree with what the server says
// of the key, as long as any do: format, quantization, size.
func lmNarrow(hits []lmModel, s *lmServed) []lmModel {
	if s == nil {
		return hits
	}
	_, variant, _ := strings.Cut(strings.ToLower(s.selected), "@")
	quant := strings.ToLower(s.quant)
	for _, agrees := range [...]func(m *lmModel) bool{
		func(m *lmModel) bool { return s.format == "" || m.format() == s.format },
		func(m *lmModel) bool { return variant == "" || m.quant() == variant },
		func(m *lmModel) bool { return quant == "" || m.quant() == quant },
		func(m *lmModel) bool { return s.bytes == 0 || m.bytes == s.bytes },
	} {
		var kept []lmModel
		for i := range hits {
			if agrees(&hits[i]) {
				kept = append(kept, hits[i])
			}
		}
		if len(kept) > 0 {
			hits = kept
		}
	}
	return hits
}

// lmBySize returns the models that are what the server describes by publisher
// and size to the byte, for a key that none of the names explains.
func lmBySize(models []lmModel, s *lmServed) []lmModel {
	var hits []lmModel
	for i := range models {
		if m := &models[i]; s != nil && s.bytes > 0 && m.bytes == s.bytes && m.publisher() == strings.ToLower(s.publisher) {
			hits = append(hits, *m)
		}
	}
	return hits
}
