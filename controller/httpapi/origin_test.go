package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

// TestOriginIsAName: in every call that takes one, and nothing else is stored.
func TestOriginIsAName(t *testing.T) {
	route := `"destination":"10.1.0.0/16","next_hop":"192.168.1.1"`
	for _, c := range []struct{ method, target, body, field, header string }{
		{"POST", "/routes", `{` + route + `,"origin":ORIGIN}`, "origin", ""},
		{"PUT", "/routes/10.1.0.0/16", `{"next_hop":"192.168.1.1","origin":ORIGIN}`, "origin", ""},
		{"PUT", "/routes/10.1.0.0/16", `{"candidates":[{"next_hop":"192.168.1.1","origin":ORIGIN}]}`, "candidates[0].origin", ""},
		{"POST", "/v1/commits", `{"events":[{"kind":"route.announced",` + route + `,"origin":ORIGIN}]}`, "events[0].origin", ""},
		{"POST", "/v1/commits", `{"events":[{"kind":"route.withdrawn",` + route + `,"origin":ORIGIN}]}`, "events[0].origin", ""},
		{"POST", "/v1/commits", `{"events":[{"kind":"guard.set","name":"g","type":"max_routes","limit":5,"origin":ORIGIN}]}`, "events[0].origin", ""},
		{"POST", "/v1/routes/import", `{` + route + `,"origin":ORIGIN}`, "line 1: origin", "Content-Type: application/x-ndjson"},
	} {
		a := newAPI(t)
		send := func(origin string) answer {
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			return a.do(c.method, c.target, strings.ReplaceAll(c.body, "ORIGIN", fmt.Sprintf("%q", origin)), headers...)
		}
		for _, bad := range []string{"any text", "-x", "x/y", "ä", "x\ty", "*", strings.Repeat("o", 64)} {
			if r := send(bad); r.Code != 400 || r.json(t)["field"] != c.field || a.revision() != 1 {
				t.Errorf("%s %s with %q: %d %s", c.method, c.target, bad, r.Code, r.Body)
			}
		}
		for _, good := range []string{"bgp:65001", "team@site-1.example", "static", strings.Repeat("o", 63)} {
			if r := send(good); r.Code/100 != 2 {
				t.Errorf("%s %s with %q: %d %s", c.method, c.target, good, r.Code, r.Body)
			}
		}
	}
}
