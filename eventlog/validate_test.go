package eventlog

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// refused are events of wrong form, the member to blame, and a part of the reason.
var refused = []struct{ line, field, reason string }{
	// routes
	{`{"kind":"route.announced","next_hop":"192.0.2.1"}`, "destination", "missing"},
	{`{"kind":"route.announced","destination":"10.1.2.3/16","next_hop":"192.0.2.1"}`, "destination", "host bits set; the prefix is 10.1.0.0/16"},
	{`{"kind":"route.announced","destination":"2001:db8::1/32","next_hop":"2001:db8::2"}`, "destination", "host bits"},
	{`{"kind":"route.announced","destination":"10.0.0.0/33","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"10.0.0.0/08","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"10.0.0.0/","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"10.0.0.0","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"10.0.0/24","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"010.0.0.0/24","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"256.0.0.0/24","next_hop":"192.0.2.1"}`, "destination", "prefix"},
	{`{"kind":"route.announced","destination":"2001:DB8::/32","next_hop":"2001:db8::2"}`, "destination", "shortest form, 2001:db8::"},
	{`{"kind":"route.announced","destination":"::ffff:10.0.0.0/104","next_hop":"192.0.2.1"}`, "destination", "IPv4 address written as IPv6"},
	{`{"kind":"route.announced","destination":17,"next_hop":"192.0.2.1"}`, "destination", "string"},
	{`{"kind":"route.announced","destination":"2001:db8::/32","next_hop":"192.0.2.1"}`, "next_hop", "is IPv4, the destination IPv6"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8"}`, "next_hop", "needs a next_hop or an interface"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"224.0.0.5"}`, "next_hop", "multicast"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"ff02::1"}`, "next_hop", "multicast"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"0.0.0.0"}`, "next_hop", "unspecified"},
	{`{"kind":"route.announced","destination":"::/0","next_hop":"::"}`, "next_hop", "unspecified"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"127.0.0.1"}`, "next_hop", "loopback"},
	{`{"kind":"route.announced","destination":"::/0","next_hop":"::1"}`, "next_hop", "loopback"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"255.255.255.255"}`, "next_hop", "broadcast"},
	{`{"kind":"route.announced","destination":"::/0","next_hop":"fe80::1"}`, "next_hop", "link-local"},
	{`{"kind":"route.announced","destination":"0.0.0.0/0","next_hop":"169.254.0.1"}`, "next_hop", "link-local"},
	{`{"kind":"route.announced","destination":"::/0","next_hop":"fe80::1%eth0"}`, "next_hop", "zone"},
	{`{"kind":"route.announced","destination":"::/0","next_hop":"::ffff:1.2.3.4"}`, "next_hop", "IPv4 address written as IPv6"},
	{`{"kind":"route.announced","destination":"::/0","next_hop":"2001:db8:0::1"}`, "next_hop", "shortest form, 2001:db8::1"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"host"}`, "next_hop", "IP address"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":""}`, "next_hop", "IP address"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":null}`, "next_hop", "string"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","type":"blackhole","next_hop":"192.0.2.1"}`, "next_hop", "absent from a route of type blackhole"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","type":"prohibit","interface":"eth0"}`, "interface", "absent from a route of type prohibit"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","type":"reject"}`, "type", "unicast, blackhole"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":4294967296}`, "metric", "from 0 to 4294967295"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":99999999999999999999999999}`, "metric", "from 0 to"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":-1}`, "metric", "from 0 to"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":1.5}`, "metric", "fraction"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":1e3}`, "metric", "exponent"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":01}`, "metric", "leading zeros"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":"1"}`, "metric", "whole number"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","preference":256}`, "preference", "from 0 to 255"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":0}`, "weight", "from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":257}`, "weight", "from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","interface":"eth0","recursive":true}`, "recursive", "needs a next_hop"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","interface":"eth0","recursive":true}`, "interface", "recursive"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","via_default":true}`, "via_default", "needs recursive"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","recursive":1}`, "recursive", "true or false"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":0}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":257}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":-1}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":"x"}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":1.5}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":01}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":null}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","weight":99999999999999999999}`, "weight", "must be a whole number from 1 to 256"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":4294967296}`, "metric", "must be a whole number from 0 to 4294967295"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":-1}`, "metric", "must be a whole number from 0 to 4294967295"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":"1"}`, "metric", "must be a whole number from 0 to 4294967295"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":1e3}`, "metric", "must be a whole number from 0 to 4294967295"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","preference":256}`, "preference", "must be a whole number from 0 to 255"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","preference":-1}`, "preference", "must be a whole number from 0 to 255"},
	{`{"kind":"link.set","a":"r1","b":"r2","cost_ab":1,"cost_ba":0}`, "cost_ba", "must be a whole number from 1 to 16777216"},
	{`{"kind":"link.set","a":"r1","b":"r2","cost_ab":1,"cost_ba":16777217}`, "cost_ba", "must be a whole number from 1 to 16777216"},
	{`{"kind":"link.set","a":"r1","b":"r2","cost_ab":1,"cost_ba":-1}`, "cost_ba", "must be a whole number from 1 to 16777216"},
	{`{"kind":"link.set","a":"r1","b":"r2","cost_ab":1,"cost_ba":"1"}`, "cost_ba", "must be a whole number from 1 to 16777216"},
	{`{"kind":"guard.set","name":"g","type":"max_routes","actor":"a","limit":-1}`, "limit", "must be a whole number that is not negative"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["b","a"]}`, "tags", "sorted"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a","a"]}`, "tags", `"a" twice`},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a",""]}`, "tags", "empty"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a" "b"]}`, "tags", "list"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a",3]}`, "tags[1]", "string"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]}`, "tags", "16"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","expires":"2026-02-30T00:00:00.000Z"}`, "expires", "UTC time"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","expires":"2026-02-03T00:00:00Z"}`, "expires", "UTC time"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":""}`, "router", "empty"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"-r"}`, "router", "letter or digit"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"r/1"}`, "router", "may hold"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","origin":""}`, "origin", "empty"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","vrf":"a b"}`, "vrf", "may hold"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","interface":"0123456789abcdef"}`, "interface", "15 bytes"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","interface":"a/b"}`, "interface", "may hold"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","interface":".."}`, "interface", "not a name"},
	{`{"kind":"route.withdrawn","destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":1}`, "metric", "not a known member"},
	// JSON
	{`{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","colour":1}`, "colour", "not a known member"},
	{`{"kind":"route.announced","destination":"10.0.0.0/8","destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, "destination", "twice"},
	{`{"kind":"key.deleted","kind":"key.deleted","key":"k"}`, "kind", "twice"},
	{`{"key":"k","kind":"key.deleted","kind":"key.deleted"}`, "kind", "twice"},
	{`{"key":"k"}`, "kind", "missing"},
	{`{"kind":"key.eaten","key":"k"}`, "kind", "not a known kind"},
	{`{"kind":1}`, "kind", "string"},
	{`[]`, "", "object"},
	{``, "", "object"},
	{`{`, "", "name must be a string"},
	{`{"kind":"key.deleted","key":"k"`, "", "comma"},
	{`{"kind":"key.deleted","key":"k",}`, "", "name must be a string"},
	{`{"kind":"key.deleted" "key":"k"}`, "", "comma"},
	{`{"kind":"key.deleted","key","k"}`, "", "colon"},
	{`{"kind":"key.deleted","key":"k"}x`, "", "more after"},
	{`{"kind":"key.deleted","key":"k"}{}`, "", "more after"},
	{`{"kind":"key.deleted","key":"k}`, "key", "without end"},
	{`{"kind":"key.deleted","key":"k\`, "key", "without end"},
	{"{\"kind\":\"key.deleted\",\"key\":\"a\nb\"}", "key", "control"},
	{"{\"kind\":\"key.deleted\",\"key\":\"\\na\nb\"}", "key", "control"},
	{"{\"kind\":\"key.deleted\",\"key\":\"\xff\"}", "key", "UTF-8"},
	{"{\"kind\":\"key.deleted\",\"key\":\"\\n\xff\"}", "key", "UTF-8"},
	{"{\"kind\":\"key.deleted\",\"key\":\"\xed\xa0\x80\"}", "key", "UTF-8"},
	{`{"kind":"key.deleted","key":"\ud800"}`, "key", "surrogate"},
	{`{"kind":"key.deleted","key":"\ud800x"}`, "key", "surrogate"},
	{`{"kind":"key.deleted","key":"\udc00\ud800"}`, "key", "surrogate"},
	{`{"kind":"key.deleted","key":"\ud800\u0041"}`, "key", "surrogate"},
	{`{"kind":"key.deleted","key":"\u12g4"}`, "key", "hex"},
	{`{"kind":"key.deleted","key":"\u12"}`, "key", "hex"},
	{`{"kind":"key.deleted","key":"\x"}`, "key", "escape"},
	// routers and links
	{`{"kind":"router.set","router":"*"}`, "router", "one router"},
	{`{"kind":"router.set","router":"r1","drained":"half"}`, "drained", "soft or hard"},
	{`{"kind":"router.set","router":"r1","probes":{}}`, "probes", "list"},
	{`{"kind":"router.set","router":"r1","probes":[5]}`, "probes[0]", "object"},
	{`{"kind":"router.set","router":"r1","probes":[{}]}`, "probes[0].interval_ms", "missing"},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000,"every":1}]}`, "probes[0].every", "not a known member"},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000},{"interval_ms":99,"interface":"e"}]}`, "probes[1].interval_ms", "from 100 to 3600000"},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":3600001}]}`, "probes[0].interval_ms", "from 100 to 3600000"},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000,"next_hop":"224.0.0.1"}]}`, "probes[0].next_hop", "multicast"},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000,"next_hop":"fe80::1%eth0"}]}`, "probes[0].next_hop", ""},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000,"next_hop":""}]}`, "probes[0].next_hop", ""},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000,"interface":"sixteencharacter"}]}`, "probes[0].interface", ""},
	{`{"kind":"router.set","router":"r1","probes":[{"interface":"e1","interval_ms":1000},{"interval_ms":1000}]}`, "probes", "sorted"},
	{`{"kind":"router.set","router":"r1","probes":[{"interval_ms":1000},{"interval_ms":2000}]}`, "probes", "those without next_hop and interface"},
	{`{"kind":"router.set","router":"r1","probes":[{"next_hop":"192.0.2.1","interface":"e1","interval_ms":1000},{"next_hop":"192.0.2.1","interface":"e1","interval_ms":1000}]}`, "probes", "twice: 192.0.2.1 on e1"},
	{`{"kind":"router.set","router":"r1","probes":[` + strings.Repeat(`{"interval_ms":1000},`, MaxProbes) + `{"interval_ms":1000}]}`, "probes", "more than 64"},
	{`{"kind":"router.removed"}`, "router", "missing"},
	{`{"kind":"link.set","a":"r2","b":"r1"}`, "b", "order"},
	{`{"kind":"link.set","a":"r1","b":"r1"}`, "b", "another router"},
	{`{"kind":"link.set","b":"r1"}`, "a", "missing"},
	{`{"kind":"link.set","a":"r1","b":"r2","cost_ab":0}`, "cost_ab", "from 1 to 16777216"},
	{`{"kind":"link.set","a":"r1","b":"r2","cost_ba":16777217}`, "cost_ba", "16777216"},
	{`{"kind":"link.set","a":"r1","b":"r2","address_a":["10.0.0.1","10.0.0.2"]}`, "address_a", "one IPv4 and one IPv6"},
	{`{"kind":"link.set","a":"r1","b":"r2","address_a":["2001:db8::1","10.0.0.2"]}`, "address_a", "before"},
	{`{"kind":"link.set","a":"r1","b":"r2","address_b":["224.0.0.1"]}`, "address_b", "multicast"},
	{`{"kind":"link.set","a":"r1","b":"r2","address_a":["10.0.0.1"],"address_b":["10.0.0.1"]}`, "address_b", "other side"},
	{`{"kind":"link.observed","a":"r1","b":"r2","router":"r3","state":"up"}`, "router", "ends"},
	{`{"kind":"link.observed","a":"r1","b":"r2","router":"r2","state":"sideways"}`, "state", "up, down or unknown"},
	{`{"kind":"nexthop.observed","router":"*","next_hop":"192.0.2.1","state":"up"}`, "router", "one router"},
	{`{"kind":"nexthop.observed","router":"r1","next_hop":"fe80::1","state":"up"}`, "next_hop", "link-local"},
	// keys and policy
	{`{"kind":"key.put","key":"","value":"v"}`, "key", "empty"},
	{`{"kind":"key.put","key":"k"}`, "value", "missing"},
	{`{"kind":"guard.set","name":"g","type":"wall"}`, "type", "protected"},
	{`{"kind":"guard.set","name":"g","type":"protected"}`, "prefixes", "missing"},
	{`{"kind":"guard.set","name":"g","type":"protected","prefixes":["10.0.0.0/8"],"percent":3}`, "percent", "not a member"},
	{`{"kind":"guard.set","name":"g","type":"protected","prefixes":["11.0.0.0/8","10.0.0.0/8"]}`, "prefixes", "sorted"},
	{`{"kind":"guard.set","name":"g","type":"protected","prefixes":["10.0.0.1/8"]}`, "prefixes", "host bits"},
	{`{"kind":"guard.set","name":"g","type":"protected","prefixes":["10.0.0.0/8","junk"]}`, "prefixes[1]", "prefix"},
	{`{"kind":"guard.set","name":"g","type":"max_shrink","percent":101}`, "percent", "100"},
	{`{"kind":"guard.set","name":"g","type":"max_routes"}`, "limit", "1 or more"},
	{`{"kind":"freeze.set","name":"f","from":"2026-01-02T00:00:00.000Z","until":"2026-01-01T00:00:00.000Z"}`, "until", "after from"},
	{`{"kind":"role.set","actor":"alice","grants":[]}`, "grants", "empty"},
	{`{"kind":"role.set","actor":"alice","grants":[{"prefixes":[]}]}`, "grants[0].role", "missing"},
	{`{"kind":"role.set","actor":"alice","grants":[{"role":"a"},{"role":"b","x":1}]}`, "grants[1].x", "not a known member"},
	{`{"kind":"role.set","actor":" alice","grants":[{"role":"a"}]}`, "actor", "space"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z"}`, "events", "missing"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"timer.set","name":"u","at":"2026-01-02T00:00:00.000Z","events":[]}]}`, "events[0].events", "is missing"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"timer.set","name":"u","at":"2026-01-02T00:00:00.000Z","stage":{"id":"x","parts":1,"events":1,"bytes":1,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}]}`, "events[0].kind", "timer can hold"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","undo":true,"events":[{"kind":"role.removed","actor":"a"}]}`, "events[0].kind", "give back"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","undo":true,"events":[{"kind":"key.deleted","key":"k"},{"kind":"key.put","key":"k","value":""}]}`, "events[1].key", "same item"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","undo":true,"events":[{"kind":"timer.set","name":"u","at":"2026-01-02T00:00:00.000Z","undo":true}]}`, "events[0].kind", "give back"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"timer.set","name":"u","at":"2026-01-02T00:00:00.000Z","undo":true,"events":[{"kind":"timer.set","name":"v","at":"2026-01-02T00:00:00.000Z","undo":true}]}]}`, "events[0].events[0].kind", "timer can hold"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","undo":true,"proposer":"alice"}`, "proposer", "where undo"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","undo":true,"unchanged":true}`, "unchanged", "where undo"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"key.deleted","key":"k"},{"kind":"key.put","key":"k","value":""}]}`, "events[1].key", "same item"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"key.deleted","key":""}]}`, "events[0].key", "empty"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","stage":{"id":"x"}}`, "stage.parts", "missing"},
	{`{"kind":"confirmation.confirmed","revision":0}`, "revision", "1 or more"},
	{`{"kind":"commit.staged","id":"a/b","parts":1,"events":1,"bytes":1,"sha256":"` + strings.Repeat("0", 64) + `"}`, "id", "may hold"},
	{`{"kind":"commit.staged","id":"a","parts":1,"events":1,"bytes":262145,"sha256":"` + strings.Repeat("0", 64) + `"}`, "bytes", "parts"},
	{`{"kind":"commit.staged","id":"a","parts":1,"events":1,"bytes":1,"sha256":"` + strings.Repeat("A", 64) + `"}`, "sha256", "lower-case"},
	{`{"kind":"epoch.started","epoch":2,"log_id":"x","nonce":"` + strings.Repeat("0", 32) + `","cause":"recovered"}`, "from", "missing"},
	{`{"kind":"epoch.started","epoch":2,"log_id":"x","nonce":"00","cause":"created"}`, "nonce", "32 lower-case"},
	{`{"kind":"epoch.started","epoch":1,"log_id":"x","nonce":"` + strings.Repeat("0", 32) + `","cause":"recovered","from":{"epoch":1}}`, "from.revision", "missing"},
	{`{"kind":"level.raised","level":0}`, "level", "1 or more"},
	// authorization
	{`{"kind":"token.set","id":"k","actor":"a"}`, "sha256", "missing"},
	{`{"kind":"token.set","id":"k","actor":"a","sha256":"` + strings.Repeat("0", 64) + `"}`, "sha256", "missing"},
	{`{"kind":"token.set","id":"K","actor":"a","sha256":"` + strings.Repeat("1", 64) + `"}`, "id", "lower case"},
	{`{"kind":"token.set","id":"","actor":"a","sha256":"` + strings.Repeat("1", 64) + `"}`, "id", "lower case"},
	{`{"kind":"token.set","id":"` + strings.Repeat("a", 33) + `","actor":"a","sha256":"` + strings.Repeat("1", 64) + `"}`, "id", "32 bytes"},
	{`{"kind":"token.set","id":"k","actor":"system","sha256":"` + strings.Repeat("1", 64) + `"}`, "actor", "must not be system"},
	{`{"kind":"token.set","id":"k","actor":"a","sha256":"` + strings.Repeat("1", 64) + `","node":"n1"}`, "node", "join tokens"},
	{`{"kind":"token.set","id":"k","actor":"a","sha256":"` + strings.Repeat("1", 64) + `","secret":"x"}`, "secret", "not a known member"},
	{`{"kind":"token.removed","id":"a_b"}`, "id", "lower case"},
	{`{"kind":"auth.enabled","by":"x"}`, "by", "not a known member"},
	{`{"kind":"role.set","actor":"a","grants":[{"role":"operator","keys":["b","a"]}]}`, "grants[0].keys", "sorted"},
	{`{"kind":"role.set","actor":"a","grants":[{"role":"operator","tags":["b","a"]}]}`, "grants[0].tags", "sorted"},
	{`{"kind":"guard.set","name":"g","type":"needs_approval","percent":3}`, "percent", "not a member"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"auth.disabled"}]}`, "events[0].kind", "timer can hold"},
	{`{"kind":"timer.set","name":"t","at":"2026-01-02T00:00:00.000Z","events":[{"kind":"token.removed","id":"k"}]}`, "events[0].kind", "timer can hold"},
	{`{"kind":"clock.stepped","from":"2026-01-02T00:00:00.000Z"}`, "to", "missing"},
}

func TestRefused(t *testing.T) {
	for _, tt := range refused {
		e, err := DecodeEvent([]byte(tt.line))
		var f *FieldError
		if !errors.As(err, &f) {
			t.Errorf("%s: %v, %v; want a FieldError", tt.line, e, err)
			continue
		}
		if f.Field != tt.field || !strings.Contains(f.Reason, tt.reason) {
			t.Errorf("%s: %q %q; want %q %q", tt.line, f.Field, f.Reason, tt.field, tt.reason)
		}
	}
}

// TestAccepted: other ways to write the same event.
func TestAccepted(t *testing.T) {
	const want = `{"kind":"route.announced","router":"r1","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a","b"]}`
	for _, line := range []string{
		want,
		`{"tags":["a","b"],"next_hop":"192.0.2.1","destination":"10.0.0.0/8","router":"r1","kind":"route.announced"}`,
		` { "kind" : "route.announced" , "router":"r1", "destination":"10.0.0.0/8" ,	"next_hop":"192.0.2.1","tags":[ "a" , "b" ]}` + "\r",
		`{"kind":"route.announced","router":"\u00721","destination":"10.0.0.0\/8","next_hop":"192.0.2.1","tags":["a","b"]}`,
		`{"k\u0069nd":"route.announced","router":"r1","destination":"10.0.0.0/8","next_hop":"192.0.2.1","tags":["a","b"]}`,
		`{"kind":"route.announced","vrf":"","router":"r1","destination":"10.0.0.0/8","type":"unicast","next_hop":"192.0.2.1","interface":"","origin":"static","metric":0,"preference":1,"weight":1,"recursive":false,"via_default":false,"tags":["a","b"]}`,
	} {
		e, err := DecodeEvent([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := string(AppendEvent(nil, e)); got != want {
			t.Errorf("%s: written as %s", line, got)
		}
	}
	e, err := DecodeEvent([]byte(`{"kind":"key.put","key":"\ud83d\ude00\"\\\/\b\f\n\r\t","value":""}`))
	if err != nil || e.(*KeyPut).Key != "\U0001F600\"\\/\b\f\n\r\t" {
		t.Errorf("escapes: %+v, %v", e, err)
	}
	// RFC 8950: an IPv4 destination through an IPv6 next hop.
	if err := route("10.0.0.0/8", "2001:db8::1", 1).Validate(); err != nil {
		t.Error(err)
	}
}

// TestValidateOnly: values that cannot come from the decoder.
func TestValidateOnly(t *testing.T) {
	mapped := route("10.0.0.0/8", "192.0.2.1", 0)
	mapped.NextHop = addr("::ffff:192.0.2.1")
	zoned := route("::/0", "", 0)
	zoned.NextHop, zoned.Interface = addr("fe80::1%eth0"), "eth0"
	for field, e := range map[string]Event{
		"destination": &RouteWithdrawn{RouteID{Router: AllRouters, Origin: "x", Interface: "eth0"}},
		"type":        &RouteWithdrawn{RouteID{Router: AllRouters, Destination: pfx("::/0"), Type: 9, Origin: "x"}},
		"next_hop":    mapped, "key": &KeyPut{Key: "\xff"}, "value": &KeyPut{Key: "k", Value: strings.Repeat("x", MaxValue+1)},
		"description": &RouterSet{Router: "r", Description: strings.Repeat("x", 1025)},
		"prefixes":    &FreezeSet{Name: "f", Prefixes: []netip.Prefix{{}}},
		"events":      &TimerSet{Name: "t", At: 1},
		"at":          &TimerSet{Name: "t", At: MaxTime + 1},
	} {
		var f *FieldError
		if err := e.Validate(); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%+v: %v, want an error of %s", e, err, field)
		}
	}
	if err := zoned.Validate(); err == nil || !strings.Contains(err.Error(), "zone") {
		t.Errorf("a zone: %v", err)
	}
	if err := (&KeyPut{Key: strings.Repeat("k", MaxKey), Value: strings.Repeat("v", MaxValue)}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestCommitValidate(t *testing.T) {
	ok := func() *Commit {
		return &Commit{ID: "a/1", Time: sampleTime, Actor: "alice", Events: []Event{route("10.0.0.0/8", "192.0.2.1", 1), route("10.0.0.0/8", "192.0.2.2", 1)}}
	}
	if err := ok().Validate(); err != nil {
		t.Fatal(err)
	}
	staged := &CommitStaged{ID: "x", Parts: 1, Events: 1, Bytes: 1}
	tests := map[string]func(c *Commit){
		"id":                    func(c *Commit) { c.ID = "" },
		"time":                  func(c *Commit) { c.Time = 0 },
		"actor":                 func(c *Commit) { c.Actor = "a\x7fb" },
		"source":                func(c *Commit) { c.Source = "ü" },
		"for":                   func(c *Commit) { c.For = strings.Repeat("x", 129) },
		"reason":                func(c *Commit) { c.Reason = strings.Repeat("x", 1025) },
		"forced[1]":             func(c *Commit) { c.Forced = []string{"a", ""} },
		"reverts[0]":            func(c *Commit) { c.Reverts = []Revision{0} },
		"events":                func(c *Commit) { c.Events = make([]Event, MaxCommitEvents+1) },
		"events[1]":             func(c *Commit) { c.Events[1] = nil },
		"events[1].destination": func(c *Commit) { c.Events[1] = &RouteWithdrawn{c.Events[0].(*RouteAnnounced).RouteID} },
		"events[0].next_hop":    func(c *Commit) { c.Events[0] = route("10.0.0.0/8", "127.0.0.1", 1) },
		"events[3].a": func(c *Commit) {
			c.Events = append(c.Events, &LinkRemoved{LinkID{A: "a", B: "b"}}, &LinkSet{LinkID: LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1})
		},
		"events[2].kind": func(c *Commit) { c.Events = append(c.Events, staged) },
	}
	for field, spoil := range tests {
		c := ok()
		spoil(c)
		var f *FieldError
		if err := c.Validate(); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%v, want an error of %s", err, field)
		}
	}
}

func TestRouteTypeText(t *testing.T) {
	for _, want := range []RouteType{Unicast, Blackhole, Unreachable, Prohibit} {
		var got RouteType
		if err := got.Parse(want.String()); err != nil || got != want {
			t.Errorf("%v: %v, %v", want, got, err)
		}
	}
	var r RouteType
	if err := r.Parse("Unicast"); err == nil {
		t.Error("Unicast is accepted")
	}
	if RouteType(9).String() != "RouteType(9)" {
		t.Error(RouteType(9))
	}
}

// FuzzDecodeEvent: what is accepted is JSON, well formed, and written back
// canonically: a second pass changes nothing.
func FuzzDecodeEvent(f *testing.F) {
	for _, e := range allSamples() {
		f.Add(AppendEvent(nil, e))
	}
	for _, r := range refused {
		f.Add([]byte(r.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := DecodeEvent(line)
		if err != nil {
			var fe *FieldError
			if !errors.As(err, &fe) || fe.Reason == "" {
				t.Fatalf("%q: %v is no FieldError with a reason", line, err)
			}
			return
		}
		if !json.Valid(line) {
			t.Fatalf("%q is accepted and no JSON", line)
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("%q is accepted: %v", line, err)
		}
		once := AppendEvent(nil, e)
		again, err := DecodeEvent(once)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", line, once, err)
		}
		if twice := AppendEvent(nil, again); string(twice) != string(once) {
			t.Fatalf("%q, then %q", once, twice)
		}
	})
}
