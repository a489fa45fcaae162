package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

// A route that only itself could resolve is refused however it comes, naming where
// it stands; what the same commit brings or takes away counts, in any order.
func TestRoutesThatResolveThemselves(t *testing.T) {
	const (
		self     = `{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"10.0.0.1","recursive":true}`
		resolver = `{"kind":"route.announced","destination":"10.0.0.0/24","next_hop":"192.0.2.1"}`
		other    = `{"kind":"route.announced","destination":"172.16.0.0/12","next_hop":"192.0.2.1"}`
		removal  = `{"kind":"route.withdrawn","destination":"10.0.0.0/24","next_hop":"192.0.2.1"}`
		never    = `{"kind":"route.announced","destination":"10.0.0.0/24","next_hop":"192.0.2.1","metric":4294967295}`
	)
	for name, c := range map[string]struct {
		before string
		events []string
		field  string // at fault; "": none
	}{
		"alone":                {"", []string{self}, "events[0].next_hop"},
		"with another":         {"", []string{other, self}, "events[1].next_hop"},
		"resolved before":      {"", []string{resolver, self}, ""},
		"resolved after":       {"", []string{self, resolver}, ""},
		"resolved already":     {resolver, []string{other, self}, ""},
		"its resolver goes":    {resolver, []string{self, removal}, "events[0].next_hop"},
		"its resolver is none": {"", []string{never, self}, "events[1].next_hop"},
	} {
		for _, query := range []string{"", "?dry_run=true"} {
			a := newAPI(t)
			if c.before != "" {
				a.must("POST", "/v1/commits", `{"events":[`+c.before+`]}`)
			}
			before := a.revision()
			r := a.do("POST", "/v1/commits"+query, `{"events":[`+strings.Join(c.events, ",")+`]}`)
			switch {
			case c.field == "" && r.Code >= 300:
				t.Errorf("%s%s: %d %s", name, query, r.Code, r.Body)
			case c.field != "" && (r.Code < 400 || r.Code > 422 || !strings.Contains(r.Body, c.field) || a.revision() != before):
				t.Errorf("%s%s: %d %s", name, query, r.Code, r.Body)
			}
		}
		lines := strings.Join(c.events, "\n") + "\n"
		line := 0
		if c.field != "" {
			_, _ = fmt.Sscanf(c.field, "events[%d]", &line)
			line++
		}
		a := newAPI(t)
		if c.before != "" {
			a.must("POST", "/v1/commits", `{"events":[`+c.before+`]}`)
		}
		m := a.do("POST", "/v1/routes/import", lines, "Content-Type: application/x-ndjson").json(t) // 400 where nothing is left
		refused := fmt.Sprint(m["refused"])
		if line == 0 && refused != "[]" && refused != "<nil>" || line > 0 && (!strings.Contains(refused, fmt.Sprintf("line:%d", line)) || !strings.Contains(refused, "next_hop")) ||
			fmt.Sprint(m["accepted"]) != fmt.Sprint(len(c.events)-min(line, 1)) {
			t.Errorf("%s: imported: %v", name, m)
		}
		a = newAPI(t)
		if c.before != "" {
			a.must("POST", "/v1/commits", `{"events":[`+c.before+`]}`)
		}
		before := a.revision()
		r := a.do("POST", "/v1/routes/import?atomic=true", lines, "Content-Type: application/x-ndjson")
		if refused := a.revision() == before; refused != (line > 0) || line > 0 && !strings.Contains(r.Body, "next_hop") {
			t.Errorf("%s: imported as one: %d %s", name, r.Code, r.Body)
		}
	}
}
