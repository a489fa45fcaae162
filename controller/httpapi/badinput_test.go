package httpapi

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestBadInput: each is refused with a clear 4xx that names the field, and
// nothing is stored.
func TestBadInput(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.168.1.1", 100)
	a.must("PUT", "/v1/routers/r1", `{}`)

	route := func(members string) string {
		return `{"destination":"10.2.0.0/16","next_hop":"192.0.2.1"` + members + `}`
	}
	dest := func(d, hop string) string { return fmt.Sprintf(`{"destination":%q,"next_hop":%q,"metric":1}`, d, hop) }
	commit := func(events string) string { return `{"events":[` + events + `]}` }
	const announced = `{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.0.2.1"}`

	cases := []struct {
		name                 string
		method, target, body string
		code                 int
		field                string
		headers              []string
	}{
		// POST /routes
		{"host bits", "POST", "/routes", dest("10.1.2.3/16", "192.0.2.1"), 400, "destination", nil},
		{"no prefix", "POST", "/routes", dest("banana", "192.0.2.1"), 400, "destination", nil},
		{"address for a prefix", "POST", "/routes", dest("10.1.0.0", "192.0.2.1"), 400, "destination", nil},
		{"prefix too long", "POST", "/routes", dest("10.0.0.0/33", "192.0.2.1"), 400, "destination", nil},
		{"IPv6 not in shortest form", "POST", "/routes", dest("2001:DB8::/32", "2001:db8::1"), 400, "destination", nil},
		{"IPv4-mapped", "POST", "/routes", dest("::ffff:10.0.0.0/104", "192.0.2.1"), 400, "destination", nil},
		{"leading zeros", "POST", "/routes", dest("010.0.0.0/8", "192.0.2.1"), 400, "destination", nil},
		{"no destination", "POST", "/routes", `{}`, 400, "destination", nil},
		{"destination null", "POST", "/routes", `{"destination":null}`, 400, "destination", nil},
		{"IPv4 next hop for IPv6", "POST", "/routes", dest("2001:db8::/32", "192.0.2.1"), 400, "next_hop", nil},
		{"next hop no address", "POST", "/routes", dest("10.2.0.0/16", "not-ip"), 400, "next_hop", nil},
		{"multicast next hop", "POST", "/routes", dest("10.2.0.0/16", "224.0.0.1"), 400, "next_hop", nil},
		{"IPv6 multicast next hop", "POST", "/routes", dest("2001:db8::/32", "ff02::1"), 400, "next_hop", nil},
		{"unspecified next hop", "POST", "/routes", dest("10.2.0.0/16", "0.0.0.0"), 400, "next_hop", nil},
		{"next hop of this network", "POST", "/routes", dest("10.2.0.0/16", "0.0.0.1"), 400, "next_hop", nil},
		{"reserved next hop", "POST", "/routes", dest("10.2.0.0/16", "240.0.0.1"), 400, "next_hop", nil},
		{"last reserved next hop", "POST", "/routes", dest("10.2.0.0/16", "255.255.255.254"), 400, "next_hop", nil},
		{"IPv4-compatible next hop", "POST", "/routes", dest("2001:db8::/32", "::192.0.2.1"), 400, "next_hop", nil},
		{"PUT with a reserved next hop", "PUT", "/routes/10.2.0.0/16", `{"candidates":[{"next_hop":"250.1.1.1"}]}`, 400, "candidates[0].next_hop", nil},
		{"commit with next hop of this network", "POST", "/v1/commits", commit(`{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"0.1.2.3"}`), 400, "events[0].next_hop", nil},
		{"import with a reserved next hop", "POST", "/v1/routes/import", dest("10.2.0.0/16", "240.0.0.1"), 400, "line 1: next_hop", []string{"Content-Type: application/x-ndjson"}},
		{"link address reserved", "POST", "/v1/commits", commit(`{"kind":"link.set","a":"r1","b":"r2","cost_ab":1,"cost_ba":1,"address_b":["240.0.0.1"]}`), 400, "events[0].address_b", nil},
		{"loopback next hop", "POST", "/routes", dest("10.2.0.0/16", "127.0.0.1"), 400, "next_hop", nil},
		{"IPv6 loopback next hop", "POST", "/routes", dest("2001:db8::/32", "::1"), 400, "next_hop", nil},
		{"link-local without interface", "POST", "/routes", dest("2001:db8::/32", "fe80::1"), 400, "next_hop", nil},
		{"zone", "POST", "/routes", dest("2001:db8::/32", "fe80::1%eth0"), 400, "next_hop", nil},
		{"negative metric", "POST", "/routes", route(`,"metric":-5`), 400, "metric", nil},
		{"metric too large", "POST", "/routes", route(`,"metric":4294967296`), 400, "metric", nil},
		{"fractional metric", "POST", "/routes", route(`,"metric":1.5`), 400, "metric", nil},
		{"metric as text", "POST", "/routes", route(`,"metric":"100"`), 400, "metric", nil},
		{"metric null", "POST", "/routes", route(`,"metric":null`), 400, "metric", nil},
		{"preference", "POST", "/routes", route(`,"preference":256`), 400, "preference", nil},
		{"weight 0", "POST", "/routes", route(`,"weight":0`), 400, "weight", nil},
		{"weight 257", "POST", "/routes", route(`,"weight":257`), 400, "weight", nil},
		{"type", "POST", "/routes", route(`,"type":"teleport"`), 400, "type", nil},
		{"blackhole with next hop", "POST", "/routes", route(`,"type":"blackhole"`), 400, "next_hop", nil},
		{"router", "POST", "/routes", route(`,"router":"a b"`), 400, "router", nil},
		{"router too long", "POST", "/routes", route(`,"router":"` + strings.Repeat("r", 64) + `"`), 400, "router", nil},
		{"interface too long", "POST", "/routes", route(`,"interface":"abcdefghijklmnop"`), 400, "interface", nil},
		{"tags twice", "POST", "/routes", route(`,"tags":["a","a"]`), 400, "tags", nil},
		{"17 tags", "POST", "/routes", route(`,"tags":[` + strings.Repeat(`"a",`, 16) + `"b"]`), 400, "tags", nil},
		{"tags no list", "POST", "/routes", route(`,"tags":"a"`), 400, "tags", nil},
		{"recursive as text", "POST", "/routes", route(`,"recursive":"yes"`), 400, "recursive", nil},
		{"unknown member", "POST", "/routes", route(`,"colour":"red"`), 400, "colour", nil},
		{"member in other case", "POST", "/routes", route(`,"Metric":1`), 400, "Metric", nil},
		{"kind is no member here", "POST", "/routes", route(`,"kind":"route.announced"`), 400, "kind", nil},
		{"member twice", "POST", "/routes", route(`,"metric":1,"metric":2`), 400, "metric", nil},
		{"escaped member twice", "POST", "/routes", route(`,"metric":1,"m\u0065tric":2`), 400, "metric", nil},
		{"vrf", "POST", "/routes", route(`,"vrf":"red"`), 400, "vrf", nil},
		{"expires", "POST", "/routes", route(`,"expires":"2030-01-01T00:00:00.000Z"`), 400, "expires", nil},
		{"list", "POST", "/routes", `[]`, 400, "body", nil},
		{"text", "POST", "/routes", `"x"`, 400, "body", nil},
		{"garbage", "POST", "/routes", `{"destination":`, 400, "destination", nil},
		{"two objects", "POST", "/routes", route("") + route(""), 400, "body", nil},
		{"not UTF-8", "POST", "/routes", route(",\"tags\":[\"\xff\"]"), 400, "tags[0]", nil},
		{"deep nesting", "POST", "/routes", route(`,"tags":` + strings.Repeat("[", 20000)), 400, "", nil},
		{"empty body", "POST", "/routes", ``, 400, "body", nil},
		{"blank body", "POST", "/routes", "  \n", 400, "body", nil},
		{"oversized body", "POST", "/routes", route(`,"interface":"` + strings.Repeat("x", 70000) + `"`), 413, "body", nil},
		{"form", "POST", "/routes", `destination=10.0.0.0/8`, 415, "Content-Type", []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"plain text", "POST", "/routes", route(""), 415, "Content-Type", []string{"Content-Type: text/plain"}},
		{"other charset", "POST", "/routes", route(""), 415, "Content-Type", []string{"Content-Type: application/json; charset=latin1"}},
		{"compressed", "POST", "/routes", route(""), 415, "Content-Encoding", []string{"Content-Encoding: gzip"}},

		// what all mutations take
		{"wait", "POST", "/routes?wait=forever", route(""), 400, "wait", nil},
		{"timeout without unit", "POST", "/routes?timeout=10", route(""), 400, "timeout", nil},
		{"timeout too long", "POST", "/routes?timeout=6m", route(""), 400, "timeout", nil},
		{"timeout 0", "POST", "/routes?timeout=0s", route(""), 400, "timeout", nil},
		{"require without installed", "POST", "/routes?require=r1", route(""), 400, "require", nil},
		{"require no name", "POST", "/routes?wait=installed&require=r1,,", route(""), 400, "require", nil},
		{"require unknown", "POST", "/routes?wait=installed&require=nobody", route(""), 404, "require", nil},
		{"parameter twice", "POST", "/routes?wait=logged&wait=logged", route(""), 400, "wait", nil},
		{"parameter unknown", "POST", "/routes?dryrun=true", route(""), 400, "dryrun", nil},
		{"bad escape", "POST", "/routes?wait=%zz", route(""), 400, "wait", nil},
		{"key with slash", "POST", "/routes", route(""), 400, "Idempotency-Key", []string{"Idempotency-Key: a/1"}},
		{"key too long", "POST", "/routes", route(""), 400, "Idempotency-Key", []string{"Idempotency-Key: " + strings.Repeat("k", 101)}},
		{"key with space", "POST", "/routes", route(""), 400, "Idempotency-Key", []string{"Idempotency-Key: a b"}},
		{"actor system", "POST", "/routes", route(""), 400, "X-DVR-Actor", []string{"X-DVR-Actor: system"}},
		{"actor too long", "POST", "/routes", route(""), 400, "X-DVR-Actor", []string{"X-DVR-Actor: " + strings.Repeat("a", 129)}},
		{"reason too long", "POST", "/routes?reason=" + strings.Repeat("x", 1025), route(""), 400, "reason", nil},
		{"If-Match unquoted", "POST", "/routes", route(""), 400, "If-Match", []string{"If-Match: 1-2"}},
		{"If-Match weak", "POST", "/routes", route(""), 400, "If-Match", []string{`If-Match: W/"1-2"`}},

		// PUT and DELETE
		{"PUT of no prefix", "PUT", "/routes/banana", `{"next_hop":"192.0.2.1"}`, 400, "destination", nil},
		{"PUT with host bits", "PUT", "/routes/10.1.0.1/16", `{"next_hop":"192.0.2.1"}`, 400, "destination", nil},
		{"PUT of another destination", "PUT", "/routes/10.2.0.0/16", route("")[:1] + `"destination":"10.3.0.0/16","next_hop":"192.0.2.1"}`, 400, "destination", nil},
		{"PUT without candidates", "PUT", "/routes/10.2.0.0/16", `{"candidates":[]}`, 400, "candidates", nil},
		{"PUT with a bad candidate", "PUT", "/routes/10.2.0.0/16", `{"candidates":[{"next_hop":"192.0.2.1"},{"next_hop":"x"}]}`, 400, "candidates[1].next_hop", nil},
		{"PUT with a candidate of another router", "PUT", "/routes/10.2.0.0/16", `{"router":"r1","candidates":[{"router":"r2","next_hop":"192.0.2.1"}]}`, 400, "candidates[0].router", nil},
		{"PUT with the same candidate twice", "PUT", "/routes/10.2.0.0/16", `{"candidates":[{"next_hop":"192.0.2.1"},{"next_hop":"192.0.2.1","metric":2}]}`, 400, "candidates[1]", nil},
		{"PUT with an unknown member", "PUT", "/routes/10.2.0.0/16", `{"candidates":[{"next_hop":"192.0.2.1"}],"x":1}`, 400, "x", nil},
		{"PUT with a candidate's unknown member", "PUT", "/routes/10.2.0.0/16", `{"candidates":[{"next_hop":"192.0.2.1","x":1}]}`, 400, "candidates[0].x", nil},
		{"PUT with a candidate that is none", "PUT", "/routes/10.2.0.0/16", `{"candidates":[7]}`, 400, "candidates[0]", nil},
		{"PUT vrf", "PUT", "/routes/10.2.0.0/16", `{"candidates":[{"next_hop":"192.0.2.1","vrf":"red"}]}`, 400, "candidates[0].vrf", nil},
		{"DELETE of nothing", "DELETE", "/routes/10.99.0.0/16", ``, 404, "", nil},
		{"DELETE of no candidate", "DELETE", "/routes/10.1.0.0/16?next_hop=192.168.1.9", ``, 404, "", nil},
		{"DELETE at an unknown router", "DELETE", "/routes/10.1.0.0/16?router=nobody", ``, 404, "router", nil},
		{"DELETE at no router", "DELETE", "/routes/10.1.0.0/16?router=a%20b", ``, 400, "router", nil},
		{"DELETE with next hop no address", "DELETE", "/routes/10.1.0.0/16?next_hop=x", ``, 400, "next_hop", nil},
		{"DELETE with a body", "DELETE", "/routes/10.1.0.0/16", `{}`, 400, "body", nil},
		{"DELETE of everything", "DELETE", "/routes", ``, 400, "destination", nil},
		{"DELETE twice named", "DELETE", "/routes?destination=10.1.0.0/16", `{"destination":"10.1.0.0/16"}`, 400, "destination", nil},
		{"DELETE with an empty router", "DELETE", "/routes?destination=10.1.0.0/16&router=", ``, 400, "router", nil},
		{"DELETE with an empty router in the body", "DELETE", "/routes", `{"destination":"10.1.0.0/16","router":""}`, 400, "router", nil},
		{"DELETE with an empty next hop", "DELETE", "/routes?destination=10.1.0.0/16&next_hop=", ``, 400, "next_hop", nil},
		{"DELETE with an empty next hop in the body", "DELETE", "/routes", `{"destination":"10.1.0.0/16","next_hop":""}`, 400, "next_hop", nil},
		{"DELETE with an empty destination", "DELETE", "/routes?destination=", ``, 400, "destination", nil},
		{"DELETE unknown member", "DELETE", "/routes", `{"destination":"10.1.0.0/16","x":1}`, 400, "x", nil},

		// POST /v1/commits
		{"commit of nothing", "POST", "/v1/commits", `{"events":[]}`, 400, "events", nil},
		{"commit without events", "POST", "/v1/commits", `{}`, 400, "events", nil},
		{"commit of no list", "POST", "/v1/commits", `{"events":{}}`, 400, "events", nil},
		{"commit of no objects", "POST", "/v1/commits", commit(`1`), 400, "events[0]", nil},
		{"commit without kind", "POST", "/v1/commits", commit(`{"destination":"10.0.0.0/8"}`), 400, "events[0].kind", nil},
		{"commit of an unknown kind", "POST", "/v1/commits", commit(`{"kind":"route.teleported"}`), 400, "events[0].kind", nil},
		{"the second event at fault", "POST", "/v1/commits", commit(announced + `,{"kind":"route.announced","destination":"10.3.0.1/16"}`), 400, "events[1].destination", nil},
		{"the same identity twice", "POST", "/v1/commits", commit(announced + "," + announced), 400, "events[1].destination", nil},
		{"announced and withdrawn at once", "POST", "/v1/commits", commit(announced + `,{"kind":"route.withdrawn","destination":"10.2.0.0/16","next_hop":"192.0.2.1"}`), 400, "events[1].destination", nil},
		{"commit with an unknown member", "POST", "/v1/commits", `{"events":[` + announced + `],"dry_run":true}`, 400, "dry_run", nil},
		{"commit with a member twice", "POST", "/v1/commits", `{"events":[` + announced + `],"id":"a","id":"b"}`, 400, "id", nil},
		{"event with an unknown member", "POST", "/v1/commits", commit(`{"kind":"router.set","router":"r9","x":1}`), 400, "events[0].x", nil},
		{"event with a member twice", "POST", "/v1/commits", commit(`{"kind":"router.set","router":"r9","router":"r8"}`), 400, "events[0].router", nil},
		{"commit id", "POST", "/v1/commits", `{"events":[` + announced + `],"id":"a b"}`, 400, "id", nil},
		{"commit id with slash", "POST", "/v1/commits", `{"events":[` + announced + `],"id":"imp/1"}`, 400, "id", nil},
		{"commit id too long", "POST", "/v1/commits", `{"events":[` + announced + `],"id":"` + strings.Repeat("k", 101) + `"}`, 400, "id", nil},
		{"commit id and another key", "POST", "/v1/commits", `{"events":[` + announced + `],"id":"a"}`, 400, "id", []string{"Idempotency-Key: b"}},
		{"commit id no text", "POST", "/v1/commits", `{"events":[` + announced + `],"id":7}`, 400, "id", nil},
		{"commit with a tail", "POST", "/v1/commits", commit(announced) + "x", 400, "body", nil},
		{"commit cut off", "POST", "/v1/commits", `{"events":[` + announced, 400, "", nil},
		{"commit If-Match", "POST", "/v1/commits", commit(announced), 400, "If-Match", []string{`If-Match: "1-1"`}},
		{"link to itself", "POST", "/v1/commits", commit(`{"kind":"link.set","a":"r1","b":"r1"}`), 400, "events[0].b", nil},

		// routers and links
		{"router name", "PUT", "/v1/routers/a%20b", `{}`, 400, "router", nil},
		{"router star", "PUT", "/v1/routers/*", `{}`, 400, "router", nil},
		{"router of another name", "PUT", "/v1/routers/r2", `{"router":"r3"}`, 400, "router", nil},
		{"router drained wrong", "PUT", "/v1/routers/r2", `{"drained":"medium"}`, 400, "drained", nil},
		{"router unknown member", "PUT", "/v1/routers/r2", `{"colour":"red"}`, 400, "colour", nil},
		{"router tags", "PUT", "/v1/routers/r2", `{"tags":[1]}`, 400, "tags[0]", nil},
		{"router tags twice", "PUT", "/v1/routers/r2", `{"tags":["a","a"]}`, 400, "tags", nil},
		{"router description", "PUT", "/v1/routers/r2", `{"description":"` + strings.Repeat("x", 1025) + `"}`, 400, "description", nil},
		{"router probes no list", "PUT", "/v1/routers/r2", `{"probes":{"interval_ms":1000}}`, 400, "probes", nil},
		{"router probe without interval", "PUT", "/v1/routers/r2", `{"probes":[{"next_hop":"192.0.2.1"}]}`, 400, "probes[0].interval_ms", nil},
		{"router probe too often", "PUT", "/v1/routers/r2", `{"probes":[{"next_hop":"192.0.2.9","interval_ms":1000},{"interval_ms":99}]}`, 400, "probes[1].interval_ms", nil},
		{"router probe interval no number", "PUT", "/v1/routers/r2", `{"probes":[{"interval_ms":"5s"}]}`, 400, "probes[0].interval_ms", nil},
		{"router probe next hop", "PUT", "/v1/routers/r2", `{"probes":[{"interval_ms":1000},{"next_hop":"224.0.0.1","interval_ms":1000}]}`, 400, "probes[1].next_hop", nil},
		{"router probe interface", "PUT", "/v1/routers/r2", `{"probes":[{"interface":"a/b","interval_ms":1000}]}`, 400, "probes[0].interface", nil},
		{"router probe unknown member", "PUT", "/v1/routers/r2", `{"probes":[{"interval":1}]}`, 400, "probes[0].interval", nil},
		{"router probes twice", "PUT", "/v1/routers/r2", `{"probes":[{"interval_ms":1000},{"interval_ms":2000}]}`, 400, "probes", nil},
		{"router probes null", "PUT", "/v1/routers/r2", `{"probes":null}`, 400, "probes", nil},
		{"router probes too many", "PUT", "/v1/routers/r2", `{"probes":[` + strings.Repeat(`{"interval_ms":1000},`, 64) + `{"interval_ms":1000}]}`, 400, "probes", nil},
		{"router unknown removed", "DELETE", "/v1/routers/nobody", ``, 404, "", nil},
		{"link to itself by path", "PUT", "/v1/links/r1/r1", `{}`, 400, "b", nil},
		{"link cost 0", "PUT", "/v1/links/r1/r2", `{"cost_ab":0}`, 400, "cost_ab", nil},
		{"link cost too large", "PUT", "/v1/links/r1/r2", `{"cost_ba":16777217}`, 400, "cost_ba", nil},
		{"link address", "PUT", "/v1/links/r1/r2", `{"address_a":["x"]}`, 400, "address_a", nil},
		{"link two IPv4 addresses", "PUT", "/v1/links/r1/r2", `{"address_b":["192.0.2.1","192.0.2.2"]}`, 400, "address_b", nil},
		{"link three addresses", "PUT", "/v1/links/r1/r2", `{"address_b":["192.0.2.1","2001:db8::1","192.0.2.2"]}`, 400, "address_b", nil},
		{"link unknown", "DELETE", "/v1/links/r1/r2", ``, 404, "", nil},
		{"link name", "PUT", "/v1/links/r1/r2?name=" + strings.Repeat("n", 64), `{}`, 400, "name", nil},

		// destinations that unicast packets are not forwarded to
		{"multicast destination", "POST", "/routes", dest("224.0.0.0/4", "192.0.2.1"), 400, "destination", nil},
		{"multicast group", "POST", "/routes", dest("239.1.2.3/32", "192.0.2.1"), 400, "destination", nil},
		{"multicast and reserved", "POST", "/routes", dest("224.0.0.0/3", "192.0.2.1"), 400, "destination", nil},
		{"reserved destination", "POST", "/routes", dest("240.0.0.0/4", "192.0.2.1"), 400, "destination", nil},
		{"broadcast destination", "POST", "/routes", dest("255.255.255.255/32", "192.0.2.1"), 400, "destination", nil},
		{"loopback destination", "POST", "/routes", dest("127.0.0.0/8", "192.0.2.1"), 400, "destination", nil},
		{"loopback host", "POST", "/routes", dest("127.0.0.1/32", "192.0.2.1"), 400, "destination", nil},
		{"IPv6 multicast destination", "POST", "/routes", dest("ff00::/8", "2001:db8::1"), 400, "destination", nil},
		{"IPv6 multicast group", "POST", "/routes", dest("ff02::1/128", "2001:db8::1"), 400, "destination", nil},
		{"IPv6 loopback destination", "POST", "/routes", dest("::1/128", "2001:db8::1"), 400, "destination", nil},
		{"this network", "POST", "/routes", dest("0.0.0.0/8", "192.0.2.1"), 400, "destination", nil},
		{"part of this network", "POST", "/routes", dest("0.1.2.0/24", "192.0.2.1"), 400, "destination", nil},
		{"the unspecified address", "POST", "/routes", dest("0.0.0.0/32", "192.0.2.1"), 400, "destination", nil},
		{"link-local destination", "POST", "/routes", dest("fe80::/10", "2001:db8::1"), 400, "destination", nil},
		{"link-local host", "POST", "/routes", dest("fe80::1/128", "2001:db8::1"), 400, "destination", nil},
		{"link-local in a commit", "POST", "/v1/commits", commit(`{"kind":"route.announced","destination":"febf::/16","next_hop":"2001:db8::1"}`), 400, "events[0].destination", nil},
		{"this network in an import", "POST", "/v1/routes/import", dest("0.0.0.0/8", "192.0.2.1"), 400, "line 1: destination", []string{"Content-Type: application/x-ndjson"}},
		// a next hop that only its own route resolves
		{"through itself", "POST", "/routes", `{"destination":"10.8.0.0/16","next_hop":"10.8.0.1","recursive":true}`, 400, "next_hop", nil},
		{"through itself, under a precondition", "POST", "/routes", `{"destination":"10.8.0.0/16","next_hop":"10.8.0.1","recursive":true}`, 400, "next_hop", []string{"If-None-Match: *"}},
		{"through itself in PUT", "PUT", "/routes/2001:db8::/32", `{"next_hop":"2001:db8::1","recursive":true}`, 400, "next_hop", nil},
		{"through itself in a list", "PUT", "/routes/10.8.0.0/16", `{"candidates":[{"next_hop":"192.0.2.1"},{"next_hop":"10.8.0.1","recursive":true}]}`, 400, "candidates[1].next_hop", nil},
		{"the default route through itself", "POST", "/routes", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1","recursive":true,"via_default":true}`, 400, "next_hop", nil},
		{"multicast in PUT", "PUT", "/routes/224.0.0.0/8", `{"next_hop":"192.0.2.1"}`, 400, "destination", nil},
		{"multicast in a list", "PUT", "/routes/224.0.0.0/8", `{"candidates":[{"next_hop":"192.0.2.1"},{"next_hop":"192.0.2.2"}]}`, 400, "candidates[0].destination", nil},
		{"multicast in a commit", "POST", "/v1/commits", commit(`{"kind":"route.announced","destination":"224.1.0.0/16","next_hop":"192.0.2.1"}`), 400, "events[0].destination", nil},

		// null is no value, anywhere
		{"router description null", "PUT", "/v1/routers/r9", `{"description":null}`, 400, "description", nil},
		{"router tags null", "PUT", "/v1/routers/r9", `{"tags": null}`, 400, "tags", nil},
		{"router tag null", "PUT", "/v1/routers/r9", `{"tags":["a",null]}`, 400, "tags[1]", nil},
		{"router is null", "PUT", "/v1/routers/r9", `null`, 400, "body", nil},
		{"link cost null", "PUT", "/v1/links/r1/r2", `{"cost_ab":null}`, 400, "cost_ab", nil},
		{"link down null", "PUT", "/v1/links/r1/r2", `{"down":null}`, 400, "down", nil},
		{"delete next hop null", "DELETE", "/routes", `{"destination":"10.1.0.0/16","next_hop":null}`, 400, "next_hop", nil},
		{"candidates null", "PUT", "/routes/10.2.0.0/16", `{"candidates":null}`, 400, "candidates", nil},
		{"candidates of router null", "PUT", "/routes/10.2.0.0/16", `{"router":null,"candidates":[{"next_hop":"192.0.2.1"}]}`, 400, "router", nil},
		{"candidate null", "PUT", "/routes/10.2.0.0/16", `{"candidates":[null]}`, 400, "candidates[0]", nil},
		{"candidate destination null", "PUT", "/routes/10.2.0.0/16", `{"destination":null,"next_hop":"192.0.2.1"}`, 400, "destination", nil},
		{"commit reason null", "POST", "/v1/commits", `{"reason":null,"events":[` + announced + `]}`, 400, "reason", nil},

		// reads
		{"router filter unknown", "GET", "/routes?router=nobody", ``, 404, "router", nil},
		{"router filter malformed", "GET", "/routes?router=", ``, 400, "router", nil},
		{"list router unknown", "GET", "/v1/routes?router=nobody", ``, 404, "router", nil},
		{"lookup router unknown", "GET", "/v1/lookup?address=10.1.0.1&router=nobody", ``, 404, "router", nil},
		{"vector of nobody", "GET", "/v1/routers/nobody/vector", ``, 404, "", nil},
		{"router nobody", "GET", "/v1/routers/nobody", ``, 404, "", nil},
		{"link nobody", "GET", "/v1/links/r1/nobody", ``, 404, "", nil},
		{"no match", "GET", "/v1/lookup?address=172.16.0.1", ``, 404, "", nil},
		{"no address", "GET", "/v1/lookup", ``, 400, "address", nil},
		{"address malformed", "GET", "/v1/lookup?address=10.1", ``, 400, "address", nil},
		{"lookup source", "GET", "/v1/lookup?address=10.1.0.1&source=oracle", ``, 400, "source", nil},
		{"lookup of every data plane", "GET", "/v1/lookup?address=10.1.0.1&source=dataplane", ``, 400, "router", nil},
		{"lookup of no data plane", "GET", "/v1/lookup?address=10.1.0.1&source=dataplane&router=r1", ``, 409, "", nil},
		{"at is not served yet", "GET", "/routes?at=5", ``, 400, "at", nil},
		{"consistency", "GET", "/routes?consistency=eventual", ``, 400, "consistency", nil},
		{"min_revision", "GET", "/routes?min_revision=x", ``, 400, "min_revision", nil},
		{"min_revision of another log", "GET", "/routes?min_revision=00000000-0000-4000-8000-000000000000/1/1", ``, 409, "", nil},
		{"min_revision of the future", "GET", "/routes?min_revision=999&timeout=20ms", ``, 503, "", nil},
		{"limit 0", "GET", "/v1/routes?limit=0", ``, 400, "limit", nil},
		{"limit too large", "GET", "/v1/routes?limit=10001", ``, 400, "limit", nil},
		{"cursor", "GET", "/v1/routes?cursor=abc", ``, 400, "cursor", nil},
		{"min_revision of an epoch to come", "GET", "/routes?min_revision=" + testLog + "/9/1&timeout=20ms", ``, 503, "", nil},
		{"min_revision of a data plane", "GET", "/v1/lookup?address=10.1.0.1&source=dataplane&router=r1&min_revision=1", ``, 400, "min_revision", nil},
		{"consistency of a data plane", "GET", "/v1/lookup?address=10.1.0.1&source=dataplane&router=r1&consistency=local", ``, 400, "consistency", nil},
		{"min_revision beside a cursor", "GET", "/v1/routes?cursor=abc&min_revision=999", ``, 400, "min_revision", nil},
		{"consistency beside a cursor", "GET", "/v1/routes?cursor=abc&consistency=linearizable", ``, 400, "consistency", nil},
		{"within", "GET", "/v1/routes?within=10.0.0.1/8", ``, 400, "within", nil},
		{"no tag", "GET", "/v1/routes?tag=", ``, 400, "tag", nil},
		{"covering", "GET", "/v1/routes?covering=x", ``, 400, "covering", nil},
		{"limit of a stream", "GET", "/v1/routes?limit=5", ``, 400, "limit", []string{"Accept: application/x-ndjson"}},
		{"Accept", "GET", "/v1/routes", ``, 406, "Accept", []string{"Accept: text/html"}},
		{"destination unknown", "GET", "/routes/10.99.0.0/16", ``, 404, "", nil},
		{"destination malformed", "GET", "/routes/x", ``, 400, "destination", nil},
		{"commit of the future", "GET", "/v1/commits/99", ``, 404, "", nil},
		{"commit 0", "GET", "/v1/commits/0", ``, 404, "", nil},
		{"commit by name", "GET", "/v1/commits/x", ``, 400, "revision", nil},
		{"commits after", "GET", "/v1/commits?after=-1", ``, 400, "after", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := a.revision()
			r := a.do(c.method, c.target, c.body, c.headers...)
			if r.Code != c.code {
				t.Fatalf("%d %s, want %d", r.Code, r.Body, c.code)
			}
			p := r.json(t)
			if r.Header.Get("Content-Type") != "application/problem+json" || p["error"] == "" || p["error"] != p["detail"] || p["status"] != float64(c.code) || p["title"] == "" {
				t.Errorf("no problem: %s", r.Body)
			}
			if got, _ := p["field"].(string); c.field != "" && got != c.field {
				t.Errorf("field %q, want %q: %s", got, c.field, r.Body)
			}
			if after := a.revision(); after != before {
				t.Errorf("revision went from %d to %d", before, after)
			}
		})
	}
}

// TestNotSupportedYet: what the format has and this version does not serve.
func TestNotSupportedYet(t *testing.T) {
	a := newAPI(t)
	const at = `"2030-01-01T00:00:00.000Z"`
	cases := []struct{ event, field string }{
		{`{"kind":"route.announced","vrf":"red","destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, "vrf"},
		{`{"kind":"route.withdrawn","vrf":"red","destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, "vrf"},
		{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","expires":` + at + `}`, "expires"},
		{`{"kind":"timer.fired","name":"x"}`, "kind"},
		{`{"kind":"confirmation.undone","revision":2}`, "kind"},
		{`{"kind":"confirmation.opened","deadline":` + at + `}`, "kind"},
		{`{"kind":"level.raised","level":2}`, "kind"},
		{`{"kind":"nexthop.observed","router":"r1","next_hop":"192.0.2.1","state":"up"}`, "kind"},
	}
	for _, c := range cases {
		r := a.do("POST", "/v1/commits", `{"events":[`+c.event+`]}`)
		p := r.json(t)
		if r.Code != 400 || p["type"] != "/problems/not-supported" || p["field"] != "events[0]."+c.field || !strings.Contains(p["error"].(string), "not supported yet") {
			t.Errorf("%s: %d %s", c.event, r.Code, r.Body)
		}
	}
	if a.revision() != 1 {
		t.Errorf("something was stored: revision %d", a.revision())
	}
}

// TestOversizedWithoutLength: a body without Content-Length is cut at the limit.
func TestOversizedWithoutLength(t *testing.T) {
	a := newAPI(t)
	r := a.send("POST", "/routes", endless{}, "Content-Type: application/json")
	if r.Code != 413 || a.revision() != 1 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestBodyOfUnknownLength: a call without a body refuses one that does not tell its length, too.
func TestBodyOfUnknownLength(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.168.1.1", 100)
	before := a.revision()
	r := a.send("DELETE", "/routes/10.1.0.0/16", io.MultiReader(strings.NewReader(`{"next_hop":"192.0.2.1"}`)))
	if r.Code != 400 || r.json(t)["field"] != "body" || a.revision() != before {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if r := a.send("DELETE", "/routes/10.1.0.0/16", io.MultiReader()); r.Code != 200 {
		t.Errorf("an empty one: %d %s", r.Code, r.Body)
	}
}

// TestProblemIsShort: what is at fault is told, but not at any length.
func TestProblemIsShort(t *testing.T) {
	a := newAPI(t)
	name := strings.Repeat("é", 20000)
	for target, body := range map[string]string{
		"/routes":           `{"` + name + `":1}`,
		"/v1/commits":       `{"events":[{"kind":"router.set","` + name + `":1}]}`,
		"/v1/routes/import": `{"` + name + `":1}`,
	} {
		r := a.do("POST", target, body, "Content-Type: "+map[bool]string{true: "application/x-ndjson", false: "application/json"}[target == "/v1/routes/import"])
		field, _ := r.json(t)["field"].(string)
		if r.Code != 400 || len(r.Body) > 4096 || !strings.Contains(field, "é") || !utf8.ValidString(field) {
			t.Errorf("%s: %d, %d bytes, field %q", target, r.Code, len(r.Body), field)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
