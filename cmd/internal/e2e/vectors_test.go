package e2e

import (
	"net/http"
	"net/netip"
	"testing"
)

// TestVectorsOverLinks: three routers in a triangle, three data planes. A
// link that goes down by the API moves the FIBs of all of them before the
// call returns, with wait=installed.
func TestVectorsOverLinks(t *testing.T) {
	n := startNode(t, scratch(t))
	put := func(path, body string) { // 200 or 201
		t.Helper()
		if a := call(t, n, http.MethodPut, path, body); a.code/100 != 2 || a.code == http.StatusAccepted {
			t.Fatalf("PUT %s: %d %s", path, a.code, a.text)
		}
	}
	for _, r := range []string{"r1", "r2", "r3"} {
		put("/v1/routers/"+r, `{}`)
	}
	put("/v1/links/r1/r2", `{"cost_ab":10,"cost_ba":10,"address_a":["10.12.0.1"],"address_b":["10.12.0.2"]}`)
	put("/v1/links/r2/r3", `{"cost_ab":10,"cost_ba":10,"address_a":["10.23.0.2"],"address_b":["10.23.0.3"]}`)
	put("/v1/links/r1/r3", `{"cost_ab":30,"cost_ba":30,"address_a":["10.13.0.1"],"address_b":["10.13.0.3"]}`)
	planes := map[string]*plane{}
	for _, r := range []string{"r1", "r2", "r3"} {
		planes[r] = startPlane(t, n, r)
	}
	must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1,r2,r3&timeout=60s", `{"router":"r3","destination":"203.0.113.0/24","next_hop":"192.0.2.1","metric":1}`)
	target := netip.MustParseAddr("203.0.113.77")
	expect := func(when string, want map[string]string) {
		t.Helper()
		for r, via := range want {
			got, err := planes[r].lookup(within(t, patience), target)
			if err != nil {
				t.Fatal(err)
			}
			if got.via() != via {
				t.Errorf("%s: %s forwards to %s, want %s", when, r, got.via(), via)
			}
		}
	}
	metric := func(router string, want float64) {
		t.Helper()
		a := must(t, n, http.StatusOK, http.MethodGet, "/v1/routers/"+router+"/vector", "")
		list, _ := a.body["vector"].([]any)
		if len(list) != 1 || list[0].(map[string]any)["metric"] != want {
			t.Errorf("vector of %s: %s, want metric %v", router, a.text, want)
		}
	}
	expect("at first", map[string]string{"r1": "r2", "r2": "r3", "r3": "192.0.2.1"})
	metric("r1", 21)

	put("/v1/links/r2/r3?wait=installed&timeout=60s", `{"cost_ab":10,"cost_ba":10,"address_a":["10.23.0.2"],"address_b":["10.23.0.3"],"down":true}`)
	expect("r2-r3 down", map[string]string{"r1": "r3", "r2": "r1", "r3": "192.0.2.1"})
	metric("r1", 31)
	metric("r2", 41)
	hops, err := planes["r1"].lookup(within(t, patience), target)
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := netip.AddrFromSlice(hops.hops[0].Address); a.String() != "10.13.0.3" {
		t.Errorf("r1 forwards to address %v, want r3's on the link", a)
	}

	put("/v1/links/r1/r3?wait=installed&timeout=60s", `{"cost_ab":30,"cost_ba":30,"down":true}`)
	expect("r3 cut off", map[string]string{"r1": "nothing", "r2": "nothing", "r3": "192.0.2.1"})

	put("/v1/links/r2/r3?wait=installed&timeout=60s", `{"cost_ab":10,"cost_ba":10,"address_a":["10.23.0.2"],"address_b":["10.23.0.3"]}`)
	expect("r2-r3 up again", map[string]string{"r1": "r2", "r2": "r3", "r3": "192.0.2.1"})
	must(t, n, http.StatusOK, http.MethodDelete, "/v1/links/r1/r2?wait=installed&timeout=60s", "")
	expect("r1-r2 removed", map[string]string{"r1": "nothing", "r2": "r3", "r3": "192.0.2.1"})
	agree(t, n, readHistory(t, n.Etcd), planes["r1"], planes["r2"], planes["r3"])
}
