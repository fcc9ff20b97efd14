package tools_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain keeps the tests off the network. With a text beside its file it is a
// program that prints it, for the tests where no script can be one.
func TestMain(m *testing.M) {
	if path, err := os.Executable(); err == nil {
		if text, err := os.ReadFile(path + ".txt"); err == nil {
			fmt.Print(string(text))
			os.Exit(1)
		}
	}
	os.Setenv("HF_HUB_OFFLINE", "1")
	os.Exit(m.Run())
}
