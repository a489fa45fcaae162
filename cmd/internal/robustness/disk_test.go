package robustness

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestStartOnAFullDisk: etcd gives up while its node starts, at one thing or another
// (never yet while the log is folded, where it may hang: TestStartWithABrokenEtcd);
// the node ends, so that its supervisor can start it again, and is well as
// soon as there is room.
func TestStartOnAFullDisk(t *testing.T) {
	f := form(t)
	leader, rest := f.leader()
	full := rest[0]
	var table strings.Builder // what it takes its time to fold
	for i := range 300_000 {
		fmt.Fprintf(&table, "{\"destination\":\"11.%d.%d.%d/32\",\"next_hop\":\"192.0.2.1\"}\n", i>>16, i>>8&255, i&255)
	}
	resp, err := f.asking.Post("http://"+leader.API+"/v1/routes/import?timeout=1m", "application/x-ndjson", strings.NewReader(table.String()))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	for round := range 4 {
		full.Kill()
		for i := range 100 * round { // what it has to write when it comes back
			f.put(leader, fmt.Sprintf("key %d", i), uint64(1000*round+i+1))
		}
		free, err := full.FillDisk()
		must(t, err, full.Start())
		ctx := f.within(longest)
		for full.Running() {
			if _, err := full.get(ctx, "/readyz", nil); err == nil {
				break // it had room enough
			}
			if pause(ctx) != nil {
				t.Fatalf("round %d: it neither ends nor gets ready\n%s", round, full.Log())
			}
		}
		t.Logf("round %d: runs on: %v", round, full.Running())
		must(t, free())
		if err := f.Recovered(f.within(longest)); err != nil {
			t.Fatal(err)
		}
	}
	f.everywhere("key 299", 3300)
}
