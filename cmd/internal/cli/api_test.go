package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAPIIsPrintedWithoutANode(t *testing.T) {
	e := &exchange{code: 500}
	text, err := run(t, e, "api")
	if err != nil || !strings.HasPrefix(text, "openapi: 3.1") || !strings.Contains(text, "\n  /api/control/nodes:\n") {
		t.Errorf("%v %.200s", err, text)
	}
	text, err = run(t, e, "api", "-o", "json")
	var doc struct{ Paths map[string]any }
	if err != nil || json.Unmarshal([]byte(text), &doc) != nil || doc.Paths["/routes"] == nil {
		t.Errorf("%v %.200s", err, text)
	}
	if _, err := run(t, e, "api", "-o", "xml"); ExitCode(err) != ExitUsage {
		t.Error(err)
	}
	if e.request != "" {
		t.Errorf("a node was asked: %s", e.request)
	}
}

// runLocal executes a verb that asks no node.
func runLocal(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errOut strings.Builder
	root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}
