package lookup

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// hubItem is one model of the Hub's list. Fields whose form depends on the
// repository are decoded one by one, so that an odd card loses one fact and
// not the page.
type hubItem struct {
	ID           string          `json:"id"`
	SHA          json.RawMessage `json:"sha"`
	Downloads    json.RawMessage `json:"downloads"`
	LastModified json.RawMessage `json:"lastModified"`
	PipelineTag  json.RawMessage `json:"pipeline_tag"`
	Card         json.RawMessage `json:"cardData"`
	Tags         json.RawMessage `json:"tags"`
	Gated        json.RawMessage `json:"gated"`
	Config       json.RawMessage `json:"config"`
	Safetensors  json.RawMessage `json:"safetensors"`
	GGUF         json.RawMessage `json:"gguf"`
	Siblings     json.RawMessage `json:"siblings"`
}

// parseHubPage reads a page of the Hub's list. Models that have no usable
// name are left out.
func parseHubPage(body []byte) ([]HubModel, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || len(raw) > maxHubItems {
		return nil, notHubAPI()
	}
	var out []HubModel
	for _, r := range raw {
		var x hubItem
		if json.Unmarshal(r, &x) != nil {
			continue
		}
		// The oldest repositories have no organisation; nothing can refer to
		// them by org/name.
		if org, name, ok := strings.Cut(x.ID, "/"); ok && hubWord(org) && hubWord(name) {
			out = append(out, x.model())
		}
	}
	return out, nil
}

// text decodes a JSON string and makes it safe to show; "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return Clean(s, MaxText)
}

// positive decodes a count; 0 for anything else.
func positive(raw json.RawMessage) int64 {
	var n int64
	if json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return max(0, n)
}

func (x *hubItem) model() HubModel {
	m := HubModel{ID: x.ID, Downloads: positive(x.Downloads), Task: text(x.PipelineTag)}
	if sha := text(x.SHA); hubWord(sha) {
		m.Commit = sha
	}
	m.Modified, _ = time.Parse(time.RFC3339, text(x.LastModified))
	m.Gated = len(x.Gated) > 0 && string(x.Gated) != "false" && string(x.Gated) != "null"
	var tags []json.RawMessage
	_ = json.Unmarshal(x.Tags, &tags) // none when it is no list
	m.License = x.license(tags)
	x.config(&m)
	for _, t := range tags {
		m.GGUF = m.GGUF || text(t) == "gguf"
		m.MLX = m.MLX || text(t) == "mlx"
		if n, ok := strings.CutSuffix(text(t), "-bit"); ok && m.Bits == 0 {
			m.Bits, _ = strconv.ParseInt(n, 10, 8) // "x-bit" is no count
		}
	}
	x.sizes(&m)
	return m
}

// license is the card's licence, by its own name when the id is "other", or
// the one of the tags.
func (x *hubItem) license(tags []json.RawMessage) string {
	var card struct {
		License json.RawMessage `json:"license"`
		Name    json.RawMessage `json:"license_name"`
	}
	_ = json.Unmarshal(x.Card, &card) // no card
	id := text(card.License)
	var several []json.RawMessage
	if json.Unmarshal(card.License, &several) == nil && len(several) > 0 {
		id = text(several[0])
	}
	for _, t := range tags {
		if rest, ok := strings.CutPrefix(text(t), "license:"); ok && id == "" {
			id = rest
		}
	}
	if name := text(card.Name); id == "other" && name != "" {
		return name
	}
	return id
}

// config takes what the Hub keeps of config.json.
func (x *hubItem) config(m *HubModel) {
	var c struct {
		Type          json.RawMessage   `json:"model_type"`
		Architectures []json.RawMessage `json:"architectures"`
		Quant         struct {
			Method json.RawMessage `json:"quant_method"`
		} `json:"quantization_config"`
	}
	_ = json.Unmarshal(x.Config, &c) // what could be read stays
	m.ModelType, m.Quant = text(c.Type), text(c.Quant.Method)
	if len(c.Architectures) > 0 {
		m.Architecture = text(c.Architectures[0])
	}
}

// sizes takes the counts that the Hub read from headers, and the files.
func (x *hubItem) sizes(m *HubModel) {
	var st struct {
		Parameters map[string]json.RawMessage `json:"parameters"`
	}
	_ = json.Unmarshal(x.Safetensors, &st) // not a safetensors repository
	for typ, raw := range st.Parameters {
		if n := positive(raw); n > 0 && n < 1<<50 && len(st.Parameters) <= 64 {
			if m.Elements == nil {
				m.Elements = map[string]int64{}
			}
			m.Elements[Clean(typ, 20)] = n
		}
	}
	var g struct {
		Total        json.RawMessage `json:"total"`
		Context      json.RawMessage `json:"context_length"`
		Architecture json.RawMessage `json:"architecture"`
	}
	if json.Unmarshal(x.GGUF, &g) == nil && positive(g.Total) > 0 {
		m.GGUF, m.GGUFParams, m.Context = true, positive(g.Total), positive(g.Context)
		if m.ModelType == "" {
			m.ModelType = text(g.Architecture)
		}
	}
	var files []struct {
		Name json.RawMessage `json:"rfilename"`
	}
	_ = json.Unmarshal(x.Siblings, &files) // not asked for
	for _, f := range files[:min(len(files), 1000)] {
		if name := text(f.Name); strings.HasSuffix(strings.ToLower(name), ".gguf") {
			m.Files = append(m.Files, name)
		}
	}
}
