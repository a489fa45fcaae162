package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dvr/dataplane/tables"
)

// TestFullTable: the whole Internet table through import, log, RIB and FIB
// stream into a data plane, whose answers equal a brute-force oracle's, then
// the real churn on top of it, and equal digests on all sides.
//
// An external etcd gets a tenth of the table, and all of it with DVR_STRESS.
func TestFullTable(t *testing.T) { onStores(t, testFullTable) }

func testFullTable(t *testing.T, on store) {
	if testing.Short() {
		t.Skip("imports a million prefixes")
	}
	n, _ := on.node(t)
	p := startPlane(t, n, "r1")
	origins, err := tables.Full()
	if err != nil {
		t.Fatal(err)
	}
	lookups := 100_000
	if _, long := stressTime(t); on.external && !long {
		lookups /= 10
		every := 0
		origins = slices.DeleteFunc(origins, func(tables.Origin) bool { every++; return every%10 != 0 })
	}
	o := make(oracle, len(origins))
	spread := tables.NewSpread(64)
	body := make([]byte, 0, 90<<20)
	for _, origin := range origins {
		hop := tables.NextHop(spread.Index(origin), origin.Prefix)
		o.announce(origin.Prefix, hop, 10)
		body = fmt.Appendf(body, "{\"destination\":\"%s\",\"next_hop\":\"%s\",\"metric\":10}\n", origin.Prefix, hop)
	}
	begin := time.Now()
	out := importLines(t, n, body)
	logged := time.Since(begin)
	p.inSync(t, n, out.LastRevision)
	t.Logf("%d prefixes logged in %v, in sync after %v", out.Accepted, logged.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	if out.Accepted != len(origins) {
		t.Fatalf("%d of %d accepted", out.Accepted, len(origins))
	}
	random := rand.New(rand.NewPCG(20261121, 1))
	o.compare(t, p, addresses(random, lookups, origins))
	agree(t, n, readHistory(t, n.Etcd), p)

	updates, err := tables.Churn()
	if err != nil {
		t.Fatal(err)
	}
	body = body[:0]
	for _, u := range updates {
		if u.Prefix.Addr().Is6() && u.Peer.Is4() {
			continue // an IPv6 prefix heard over an IPv4 session: no next hop of its family
		}
		if u.Withdraw {
			o.withdraw(u.Prefix, u.Peer)
			body = fmt.Appendf(body, "{\"kind\":\"route.withdrawn\",\"destination\":\"%s\",\"next_hop\":\"%s\"}\n", u.Prefix, u.Peer)
			continue
		}
		o.announce(u.Prefix, u.Peer, 5)
		body = fmt.Appendf(body, "{\"kind\":\"route.announced\",\"destination\":\"%s\",\"next_hop\":\"%s\",\"metric\":5}\n", u.Prefix, u.Peer)
	}
	out = importLines(t, n, body)
	p.inSync(t, n, out.LastRevision)
	o.compare(t, p, addresses(random, lookups, origins))
	agree(t, n, readHistory(t, n.Etcd), p)
}
