package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

// TestRollbackOverALifetime: a wrong commit lies over one with a lifetime. Its
// rollback, scheduled and taken through kill -9, restores what there was only as
// long as that would have been there, in the data plane, too; a rollback onto what
// is not confirmed is refused, and says what to do.
func TestRollbackOverALifetime(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	n := startNode(t, scratch(t))
	cli := func(args ...string) (string, error) {
		cmd := exec.CommandContext(within(t, patience), dvr, args...)
		cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+n.API)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	put := func(value, query string) uint64 {
		return must(t, n, http.StatusOK, http.MethodPut, "/kv/k"+query, `{"value":"`+value+`"}`).revision()
	}
	value := func() string { return must(t, n, http.StatusOK, http.MethodGet, "/kv/k", "").text }

	must(t, n, http.StatusCreated, http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`)
	p := startPlane(t, n, "edge")
	p.inSync(t, n, 0)
	before := p.digest(t)
	put("old", "")
	end := time.Now().Add(20 * time.Second) // at the earliest
	lends := must(t, n, http.StatusCreated, http.MethodPost, "/v1/commits?expires_in=20s",
		`{"events":[{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.168.1.2"},{"kind":"key.put","key":"k","value":"temporary"}]}`)
	p.inSync(t, n, lends.revision())
	during := p.digest(t)
	wrong := must(t, n, http.StatusCreated, http.MethodPost, "/v1/commits",
		`{"events":[{"kind":"route.withdrawn","destination":"10.2.0.0/16","next_hop":"192.168.1.2"},{"kind":"key.put","key":"k","value":"wrong"}]}`)
	if out, err := cli("rollback", fmt.Sprint(wrong.revision()), "--not-before", "2s"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.Kill()
	runNode(t, n)
	for deadline := time.Now().Add(patience); ; {
		if v := value(); strings.Contains(v, "temporary") {
			p.inSync(t, n, 0)
			if got := p.digest(t); got != during && time.Now().Before(end) {
				t.Errorf("the data plane's table is %v, want %v", got, during)
			}
			if again := time.Now().Add(time.Second); again.Before(end) { // and that is taken through it, too
				if out, err := cli("rollback", fmt.Sprint(put("wrong again", ""))); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
		} else if strings.Contains(v, "old") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("k is %s", value())
		}
		time.Sleep(200 * time.Millisecond) // polls another process
	}
	if early := time.Until(end); early > 0 {
		t.Errorf("over %v too early", early)
	}
	p.inSync(t, n, 0)
	if got := p.digest(t); got != before {
		t.Errorf("the data plane's table is %v in the end, want %v", got, before)
	}
	// Those of what lay over it end at the same moment, one after the other.
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) { // polls another process
		left := must(t, n, http.StatusOK, http.MethodGet, "/v1/timers", "").text
		if !strings.Contains(left, "timer.set") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("timers are left: %s (the lifetime was of commit %d)", left, lends.revision())
		}
	}
	if v := value(); !strings.Contains(v, "old") {
		t.Errorf("in the end k is %s", v)
	}

	tried := put("tried", "?confirm_within=1h")
	over := put("wrong", "")
	out, err := cli("rollback", fmt.Sprint(over))
	if err == nil || !strings.Contains(out, fmt.Sprintf("as commit %d of anonymous made it, which is not confirmed", tried)) || !strings.Contains(out, "CANNOT BE TAKEN BACK") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := cli("confirm", fmt.Sprint(tried)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := cli("rollback", fmt.Sprint(over)); err != nil || !strings.Contains(value(), "tried") {
		t.Errorf("%v\n%s", err, out)
	}
}
