package tools_test

import (
	"os"
	"testing"
)

// TestMain keeps the tests off the network.
func TestMain(m *testing.M) {
	os.Setenv("HF_HUB_OFFLINE", "1")
	os.Exit(m.Run())
}
