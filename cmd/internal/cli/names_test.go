package cli

import (
	"strings"
	"testing"
)

// TestMisspeltVariable: a client does not call a cluster that its environment
// did not mean, and leaves alone what is nobody's.
func TestMisspeltVariable(t *testing.T) {
	t.Setenv("DVR_FOO_OF_OTHERS", "x")
	e := &exchange{code: 200, answer: `{"routes":[]}`}
	if _, err := run(t, e, "route", "list"); err != nil || e.request == "" {
		t.Fatalf("with a variable of others: %v", err)
	}
	t.Setenv("DVR_ENDPONTS", "192.0.2.1:9090")
	e = &exchange{code: 200, answer: `{"routes":[]}`}
	if _, err := run(t, e, "route", "list"); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "did you mean DVR_ENDPOINTS?") || e.request != "" {
		t.Errorf("with DVR_ENDPONTS: %v, called %q", err, e.request)
	}
}
