package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

// TestUnusableLinkIsTold: a preview says from which end nothing can be sent over a
// link; a link-local address alone is refused, wherever the link comes from.
func TestUnusableLinkIsTold(t *testing.T) {
	a := newAPI(t)
	for body, ends := range map[string]string{
		`{}`:                         "ra rb",
		`{"address_b":["10.0.0.2"]}`: "rb",
		`{"interface_b":"eth0"}`:     "ra",
		`{"interface_a":"e","address_a":["10.0.0.1"]}`:                                          "",
		`{"interface_a":"e","interface_b":"e","address_a":["fe80::1"],"address_b":["fe80::2"]}`: "",
	} {
		var told []string
		m := a.must("PUT", "/v1/links/ra/rb?dry_run=true", body).json(t)
		warnings, _ := m["warnings"].([]any)
		for _, w := range warnings {
			w := w.(map[string]any)
			if w["kind"] == "unusable-link" {
				told = append(told, fmt.Sprint(w["router"]))
			}
		}
		if got := strings.Join(told, " "); got != ends {
			t.Errorf("%s: told of %q, want %q", body, got, ends)
		}
	}
	for body, field := range map[string]string{
		`{"address_b":["fe80::2"]}`:                              "interface_a",
		`{"interface_a":"e","address_a":["169.254.0.1"]}`:        "interface_b",
		`{"interface_b":"e","address_b":["10.0.0.2","fe80::2"]}`: "interface_a",
	} {
		for _, r := range []answer{
			a.do("PUT", "/v1/links/ra/rb", body),
			a.do("POST", "/v1/commits", `{"events":[{"kind":"link.set","a":"ra","b":"rb",`+body[1:]+`]}`),
			a.importLines("/v1/topology/import?mode=replace", `{"kind":"link.set","a":"ra","b":"rb",`+body[1:]+"\n"),
		} {
			if r.Code != 400 || !strings.Contains(r.Body, field) || !strings.Contains(r.Body, "is link-local") {
				t.Errorf("%s: %d %s", body, r.Code, r.Body)
			}
		}
	}
	if n := a.revision(); n != 1 {
		t.Errorf("something was stored: revision %d", n)
	}
}

// TestIPv4NextHopForIPv6IsTold: where a change leads IPv6 prefixes over a link that
// has IPv4 addresses only, its preview says so.
func TestIPv4NextHopForIPv6IsTold(t *testing.T) {
	for addresses, told := range map[string]bool{`"address_a":["10.0.0.1"],"address_b":["10.0.0.2"]`: true, `"address_a":["10.0.0.1","fd00::1"],"address_b":["10.0.0.2","fd00::2"]`: false} {
		a := newAPI(t)
		a.must("PUT", "/v1/links/ra/rb", `{"interface_a":"e0","interface_b":"e0",`+addresses+`}`)
		r := a.must("POST", "/routes?dry_run=true", `{"router":"rb","destination":"2001:db8:79::/48","next_hop":"2001:db8::9"}`)
		if strings.Contains(r.Body, `"ipv4-next-hop"`) != told {
			t.Errorf("%s: %s", addresses, r.Body)
		}
		if r := a.must("POST", "/routes?dry_run=true", `{"router":"rb","destination":"10.1.0.0/16","next_hop":"192.0.2.9"}`); strings.Contains(r.Body, `"ipv4-next-hop"`) {
			t.Errorf("%s: of an IPv4 prefix: %s", addresses, r.Body)
		}
	}
}
