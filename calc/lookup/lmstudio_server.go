package lookup

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
)

// Bounds of what LM Studio's server may take and answer.
const (
	lmPatience   = time.Second
	lmMaxReply   = 16 << 20
	lmMaxServed  = 10_000
	lmPort       = 1234
	lmTokenField = "LM_API_TOKEN" // LM Studio's own name for it
)

// lmServed is a model as the server describes it. Zero values are unknown.
type lmServed struct {
	key       string
	publisher string
	arch      string
	format    string // gguf, mlx
	quant     string
	bytes     int64
	context   int64
	selected  string // the variant that is loaded by the key
	loaded    []lmInstance
}

// lmInstance is one loaded instance and its settings by the server's names.
type lmInstance struct {
	id       string
	settings map[string]string
}

// lmBase returns the address of LM Studio's server on this machine and whether
// it is one of this machine: port and interface as it was last started with,
// 1234 and loopback otherwise. (lms: http-server-config.json,
// DEFAULT_SERVER_PORT)
func lmBase(home string) (base string, local bool) {
	var c struct {
		Port      int    `json:"port"`
		Interface string `json:"networkInterface"`
	}
	if b, err := readFile(filepath.Join(home, ".internal", "http-server-config.json"), 64<<10); err == nil {
		_ = json.Unmarshal(b, &c) // an unreadable one says nothing
	}
	return lmAddress(c.Port, c.Interface)
}

// lmClient makes one attempt of a second in all.
func lmClient(base, token string) *fetch.Client {
	return fetch.New(fetch.Options{
		Trusted: []string{base}, Tokens: map[string]string{base: token}, UserAgent: "hwledger",
		Attempts: 1, Timeout: lmPatience, Dial: lmPatience,
	})
}

// lmAddress makes the server's address. A server that listens on every
// interface is asked on loopback.
func lmAddress(port int, iface string) (base string, local bool) {
	if port < 1 || port > 65535 {
		port = lmPort
	}
	ip, err := netip.ParseAddr(iface)
	if err != nil || ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return "http://" + net.JoinHostPort(ip.String(), strconv.Itoa(port)), ip.IsLoopback()
}

// lmAsk asks the server for its models, within a second in all: by the API of
// version 0.4, else by the one before. It returns none and no error when no
// server answers, which is no failure of the lookup.
func lmAsk(ctx context.Context, home string, offline bool) ([]lmServed, error) {
	base, local := lmBase(home)
	if offline && !local {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(fetch.Quick(ctx), lmPatience)
	defer cancel()
	c := lmClient(base, os.Getenv(lmTokenField))
	for _, api := range [...]struct {
		path string
		read func([]byte) ([]lmServed, bool)
	}{{"/api/v1/models", lmReadV1}, {"/api/v0/models", lmReadV0}} {
		reply, err := c.Get(ctx, base+api.path, lmMaxReply, "")
		switch code(err) {
		case model.Denied:
			return nil, model.Errorf(model.Denied, "lmstudio", "LM Studio's server at %s asks for a token", base).
				WithHint("set %s to one of its API tokens", lmTokenField)
		case model.Offline:
			return nil, nil
		}
		if err != nil {
			continue // an older server does not have the path
		}
		// An unknown path may also be answered with 200 and an error object.
		if served, ok := api.read(reply.Body); ok {
			return served[:min(len(served), lmMaxServed)], nil
		}
	}
	return nil, nil
}

// lmReadV1 reads what /api/v1/models answers.
func lmReadV1(body []byte) ([]lmServed, bool) {
	var reply struct {
		Models []struct {
			Key          string `json:"key"`
			Publisher    string `json:"publisher"`
			Architecture string `json:"architecture"`
			Format       string `json:"format"`
			Quantization struct {
				Name string `json:"name"`
			} `json:"quantization"`
			Size      int64  `json:"size_bytes"`
			Context   int64  `json:"max_context_length"`
			Selected  string `json:"selected_variant"`
			Instances []struct {
				ID     string                     `json:"id"`
				Config map[string]json.RawMessage `json:"config"`
			} `json:"loaded_instances"`
		} `json:"models"`
	}
	if json.Unmarshal(body, &reply) != nil || reply.Models == nil {
		return nil, false
	}
	out := make([]lmServed, 0, len(reply.Models))
	for _, m := range reply.Models {
		s := lmServed{
			key: m.Key, publisher: m.Publisher, arch: m.Architecture, format: m.Format, quant: m.Quantization.Name,
			bytes: max(0, m.Size), context: max(0, m.Context), selected: m.Selected,
		}
		for _, i := range m.Instances {
			s.loaded = append(s.loaded, lmInstance{id: i.ID, settings: lmSettings(i.Config)})
		}
		out = append(out, s)
	}
	return out, true
}

// lmSettings keeps the numbers and switches of an instance's configuration.
func lmSettings(config map[string]json.RawMessage) map[string]string {
	out := map[string]string{}
	for k, v := range config {
		var x any
		if len(v) > 40 || len(out) == 50 || json.Unmarshal(v, &x) != nil {
			continue
		}
		switch x.(type) {
		case float64, bool:
			out[Clean(k, MaxText)] = Clean(string(v), MaxText)
		}
	}
	return out
}

// lmReadV0 reads what /api/v0/models answers.
func lmReadV0(body []byte) ([]lmServed, bool) {
	var reply struct {
		Data []struct {
			ID            string `json:"id"`
			Publisher     string `json:"publisher"`
			Arch          string `json:"arch"`
			Format        string `json:"compatibility_type"`
			Quantization  string `json:"quantization"`
			State         string `json:"state"`
			Context       int64  `json:"max_context_length"`
			LoadedContext int64  `json:"loaded_context_length"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &reply) != nil || reply.Data == nil {
		return nil, false
	}
	out := make([]lmServed, 0, len(reply.Data))
	for _, m := range reply.Data {
		s := lmServed{key: m.ID, publisher: m.Publisher, arch: m.Arch, format: m.Format, quant: m.Quantization, context: max(0, m.Context)}
		if strings.EqualFold(m.State, "loaded") {
			i := lmInstance{id: m.ID, settings: map[string]string{}}
			if m.LoadedContext > 0 {
				i.settings["context_length"] = strconv.FormatInt(m.LoadedContext, 10)
			}
			s.loaded = append(s.loaded, i)
		}
		out = append(out, s)
	}
	return out, true
}
