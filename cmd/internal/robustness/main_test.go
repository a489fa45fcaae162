package robustness

import (
	"os"
	"testing"
)

// TestMain makes the test binary a node where it is asked to be one.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "node" {
		os.Exit(RunNode())
	}
	os.Exit(m.Run())
}
