package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dvr/cmd/internal/testbed"
)

// TestThePastOutlivesTheNode: after kill -9 every revision answers as it did,
// and the command line finds who broke what.
func TestThePastOutlivesTheNode(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	n := startNode(t, scratch(t))
	must(t, n, http.StatusOK, "PUT", "/v1/links/r1/r2", `{"address_a":["172.16.0.1"],"address_b":["172.16.0.2"]}`)
	must(t, n, http.StatusCreated, "POST", "/routes", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"r2"}`)
	good := must(t, n, http.StatusCreated, "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.2","router":"r2"}`).revision()
	then := map[int]string{}
	look := func(at int) string {
		return must(t, n, http.StatusOK, "GET", fmt.Sprintf("/routes?router=r1&at=%d", at), "").text
	}
	for i := range 30 {
		must(t, n, http.StatusOK, "PUT", fmt.Sprintf("/kv/k%d", i), `{"value":"v"}`)
	}
	bad := must(t, n, http.StatusOK, "DELETE", "/routes/10.1.0.0/16?reason=oops", "", "X-DVR-Actor", "mallory").revision()
	for i := range 20 {
		must(t, n, http.StatusOK, "PUT", fmt.Sprintf("/kv/k%d", i), `{"value":"w"}`)
	}
	for _, at := range []int{int(good), int(bad) - 1, int(bad)} {
		then[at] = look(at)
	}
	n.Kill()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	for at, want := range then {
		if got := look(at); got != want {
			t.Errorf("revision %d: %s, before %s", at, got, want)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"bisect", "--probe", "dvr lookup 10.1.2.3 --router r1 -o json | grep -q 10.1.0.0", fmt.Sprint(good)}, []string{fmt.Sprintf("revision %d is the first bad one", bad), "mallory", "oops"}},
		{[]string{"explain", "10.1.2.3", "--router", "r1"}, []string{"└▶ r2  10.0.0.0/8", "└▶ 192.0.2.1", "mallory"}},
		{[]string{"explain", "10.1.2.3", "--router", "r1", "--at", fmt.Sprint(good)}, []string{"└▶ 192.0.2.2", "✓ 192.0.2.2"}},
		{[]string{"diff", fmt.Sprint(bad - 1), fmt.Sprint(bad)}, []string{"- 10.1.0.0/16 via 192.0.2.2 of r2 metric 0", "FIB of r1", "- 10.1.0.0/16: was 172.16.0.2 via r2"}},
		{[]string{"blame", "10.1.0.0/16"}, []string{"- 192.0.2.2", "oops"}},
	} {
		cmd := exec.CommandContext(within(t, patience), dvr, c.args...)
		cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+n.API)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s lacks %q:\n%s", c.args, want, out)
			}
		}
	}
}
