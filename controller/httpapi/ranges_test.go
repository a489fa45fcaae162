package httpapi

import (
	"strings"
	"testing"
)

// TestRangesAreTold: a number out of its range, or none, is refused with the range and the field.
func TestRangesAreTold(t *testing.T) {
	a := newAPI(t)
	for _, c := range []struct{ method, target, head, field, message string }{
		{"POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1",`, "weight", "must be a whole number from 1 to 256"},
		{"PUT", "/routes/10.1.0.0/16", `{"next_hop":"192.168.1.1",`, "weight", "must be a whole number from 1 to 256"},
		{"PUT", "/v1/links/a/b", `{`, "cost_ab", "must be a whole number from 1 to 16777216"},
		{"PUT", "/v1/links/a/b", `{`, "cost_ba", "must be a whole number from 1 to 16777216"},
	} {
		for _, bad := range []string{`0`, `-1`, `16777217`, `4294967297`, `1.5`, `"1"`, `[]`, `true`} {
			r := a.do(c.method, c.target, c.head+`"`+c.field+`":`+bad+`}`)
			if r.Code != 400 || r.json(t)["field"] != c.field || !strings.Contains(r.json(t)["error"].(string), c.message) {
				t.Errorf("%s %s %s: %d %s", c.target, c.field, bad, r.Code, r.Body)
			}
		}
	}
	for body, message := range map[string]string{
		`{"description":5}`: "description: must be a string", `{"tags":"a"}`: "tags: must be a list",
		`{"drained":true}`: "drained: must be a string", `{"down":true}`: "down: is not a known member",
	} {
		if r := a.do("PUT", "/v1/routers/r1", body); r.Code != 400 || r.json(t)["error"] != message {
			t.Errorf("%s: %d %s", body, r.Code, r.Body)
		}
	}
}
