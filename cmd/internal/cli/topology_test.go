package cli

import (
	"strings"
	"testing"
)

// TestProbesThatAreNone: what --probe cannot mean is told before anything is sent.
func TestProbesThatAreNone(t *testing.T) {
	for flag, want := range map[string]string{
		"5": `"5" is no interval`, "": `"" is no interval`, "192.0.2.1": "is no interval", "192.0.2.1=": `"" is no interval`,
		"0s": "is no interval", "-1s": "is no interval", "1500us": "is no interval", "=5s": "names no next hop and no interface", "%=5s": "names no next hop and no interface",
	} {
		e := &exchange{code: 200, answer: `{}`}
		if _, err := run(t, e, "router", "set", "r1", "--probe", flag); ExitCode(err) != ExitUsage || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--probe") {
			t.Errorf("--probe %q: %v", flag, err)
		}
	}
}
