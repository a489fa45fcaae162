package httpapi

import (
	"strings"
	"testing"
)

// TestTagsInAnyOrder: the order of tags is the log's matter, whichever call they
// come in; one that is there twice is refused by its name.
func TestTagsInAnyOrder(t *testing.T) {
	const lines = "Content-Type: application/x-ndjson"
	route := `"destination":"10.1.0.0/16","next_hop":"192.168.1.1"`
	for _, c := range []struct{ method, target, body, shown, field, header string }{
		{"POST", "/routes", `{` + route + `,"tags":TAGS}`, "/routes/10.1.0.0/16", "tags", ""},
		{"PUT", "/routes/10.1.0.0/16", `{"next_hop":"192.168.1.1","tags":TAGS}`, "/routes/10.1.0.0/16", "tags", ""},
		{"PUT", "/routes/10.1.0.0/16", `{"candidates":[{"next_hop":"192.168.1.1","tags":TAGS}]}`, "/routes/10.1.0.0/16", "candidates[0].tags", ""},
		{"PUT", "/v1/routers/r1", `{"tags":TAGS}`, "/v1/routers/r1", "tags", ""},
		{"PUT", "/v1/links/a/b", `{"tags":TAGS}`, "/v1/links/a/b", "tags", ""},
		{"POST", "/v1/commits", `{"events":[{"kind":"route.announced",` + route + `,"tags":TAGS}]}`, "/routes/10.1.0.0/16", "events[0].tags", ""},
		{"POST", "/v1/commits", `{"events":[{"tags":TAGS,"kind":"router.set","router":"r1"}]}`, "/v1/routers/r1", "events[0].tags", ""},
		{"POST", "/v1/commits", `{"events":[{"kind":"link.set","a":"a","b":"b","cost_ab":1,"cost_ba":1,"tags":TAGS}]}`, "/v1/links/a/b", "events[0].tags", ""},
		{"POST", "/v1/commits", `{"events":[{"kind":"role.set","actor":"a","grants":[{"role":"operator","tags":TAGS}]}]}`, "/v1/auth", "events[0].grants[0].tags", ""},
		{"POST", "/v1/routes/import", `{` + route + `,"tags":TAGS}`, "/routes/10.1.0.0/16", "line 1: tags", lines},
		{"POST", "/v1/routes/import", `{"kind":"route.announced",` + route + `,"tags":TAGS}`, "/routes/10.1.0.0/16", "line 1: tags", lines},
		{"POST", "/v1/routes/import?atomic=true", `{` + route + `,"tags":TAGS}`, "/routes/10.1.0.0/16", "line 1: tags", lines},
		{"POST", "/v1/topology/import", `{"kind":"router.set","router":"r1","tags":TAGS}`, "/v1/routers/r1", "line 1: tags", lines},
	} {
		a := newAPI(t)
		send := func(tags string) answer {
			headers := []string{}
			if c.header != "" {
				headers = append(headers, c.header)
			}
			return a.do(c.method, c.target, strings.ReplaceAll(c.body, "TAGS", tags), headers...)
		}
		if r := send(`["b","a","b"]`); r.Code != 400 || r.json(t)["field"] != c.field || !strings.Contains(r.json(t)["error"].(string), `holds "b" twice`) || a.revision() != 1 {
			t.Errorf("%s %s %s: twice: %d %s", c.method, c.target, c.body, r.Code, r.Body)
		}
		if r := send(`["c","a","b"]`); r.Code/100 != 2 {
			t.Errorf("%s %s %s: %d %s", c.method, c.target, c.body, r.Code, r.Body)
		} else if got := a.must("GET", c.shown, "").Body; !strings.Contains(got, `"tags":["a","b","c"]`) {
			t.Errorf("%s %s %s: shown as %s", c.method, c.target, c.body, got)
		}
	}
}
