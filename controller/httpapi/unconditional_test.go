package httpapi

import (
	"strings"
	"testing"
)

// TestPreconditionsAreNamed: what has no one item refuses each precondition by its name.
func TestPreconditionsAreNamed(t *testing.T) {
	a := newAPI(t)
	for _, header := range []string{"If-Match", "If-None-Match"} {
		for target, body := range map[string]string{
			"/v1/commits":         `{"events":[{"kind":"router.set","router":"r1"}]}`,
			"/v1/routes/import":   `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`,
			"/v1/topology/import": `{"kind":"router.set","router":"r1"}`,
			"/v1/rollback":        `{"commits":[1]}`,
		} {
			headers := []string{header + ": *"}
			if strings.HasSuffix(target, "import") {
				headers = append(headers, "Content-Type: application/x-ndjson")
			}
			if r := a.do("POST", target, body, headers...); r.Code != 400 || r.json(t)["field"] != header || !strings.HasPrefix(r.json(t)["error"].(string), header+": ") || a.revision() != 1 {
				t.Errorf("%s with %s: %d %s", target, header, r.Code, r.Body)
			}
		}
	}
}
