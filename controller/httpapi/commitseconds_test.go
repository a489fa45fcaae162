package httpapi

import (
	"regexp"
	"strconv"
	"testing"
)

// TestCommitSeconds: only calls that made a commit are measured as such.
func TestCommitSeconds(t *testing.T) {
	a := newAPI(t)
	counted := func() int {
		m := regexp.MustCompile(`(?m)^dvr_commit_seconds_count (\d+)$`).FindStringSubmatch(a.must("GET", "/metrics", "").Body)
		if m == nil {
			t.Fatal("dvr_commit_seconds is not served")
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	const route = `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`
	for _, c := range []struct {
		what, method, path, body string
		headers                  []string
		more                     int
	}{
		{"a preview", "POST", "/routes?dry_run=true", route, nil, 0},
		{"a change", "POST", "/routes", route, []string{"Idempotency-Key: k"}, 1},
		{"a repetition", "POST", "/routes", route, []string{"Idempotency-Key: k"}, 0},
		{"a refusal", "POST", "/routes", `{"destination":"x"}`, nil, 0},
		{"a refused condition", "DELETE", "/routes/10.1.0.0/16", "", []string{`If-Match: "9-9"`}, 0},
		{"a key", "PUT", "/kv/a", `{"value":"1"}`, nil, 1},
		{"a read", "GET", "/routes", "", nil, 0},
		{"an import", "POST", "/v1/routes/import", route + "\n", []string{"Content-Type: application/x-ndjson"}, 0},
		{"a withdrawal", "DELETE", "/routes/10.1.0.0/16", "", nil, 1},
	} {
		before := counted()
		r := a.do(c.method, c.path, c.body, c.headers...)
		if got := counted() - before; got != c.more {
			t.Errorf("%s (%d): %d commits are counted, want %d", c.what, r.Code, got, c.more)
		}
	}
}
