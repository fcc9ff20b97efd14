package lookup

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gomlx/go-huggingface/hub"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/lookup/metacache"
)

// offlineByEnv is the Hub library's own switch.
func offlineByEnv() bool {
	switch strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "TRUE", "YES", "ON":
		return true
	}
	return false
}

// endpoint returns where the Hub is, without a slash at its end.
func endpoint() string {
	if e := os.Getenv("HF_ENDPOINT"); e != "" {
		return strings.TrimRight(e, "/")
	}
	return "https://huggingface.co"
}

// token returns the Hub token as its own library finds it: HF_TOKEN, or the
// file that its login wrote.
func token() string {
	if t := os.Getenv("HF_TOKEN"); t != "" {
		return strings.TrimSpace(t)
	}
	file := os.Getenv("HF_TOKEN_PATH")
	if file == "" {
		file = filepath.Join(hfHome(), "token")
	}
	b, err := readFile(file, 4096)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// client is made on first use for the endpoint and token of that moment.
var client = sync.OnceValue(newClient)

func newClient() *fetch.Client {
	o := fetch.Options{UserAgent: "hwledger", Tokens: map[string]string{endpoint(): token()}}
	if os.Getenv("HF_ENDPOINT") != "" {
		o.Trusted = []string{endpoint()}
	}
	return fetch.New(o)
}

// hfHome is where the Hub's own library keeps its files.
func hfHome() string {
	if home := os.Getenv("HF_HOME"); home != "" {
		return home
	}
	return filepath.Dir(hub.DefaultCacheDir())
}

// hubCacheDir is the cache of repositories that the Hub's libraries share.
func hubCacheDir() string {
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := os.Getenv(name); dir != "" {
			return dir
		}
	}
	return filepath.Join(hfHome(), "hub")
}

// maxMetadata bounds the cache of what lookups fetched, in bytes.
const maxMetadata = 512 << 20

// metadata is the cache of what lookups fetched from the Hub: below
// $HWLEDGER_HOME, else the user's cache directory. Without either nothing is
// kept.
func metadata() *metacache.Cache {
	if home := os.Getenv("HWLEDGER_HOME"); home != "" {
		return metacache.Open(filepath.Join(home, "cache", "hub"), maxMetadata)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return &metacache.Cache{}
	}
	return metacache.Open(filepath.Join(dir, "hwledger", "hub"), maxMetadata)
}
