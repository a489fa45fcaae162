package cli

import (
	"errors"
	"strings"
	"testing"
)

// TestInstalledIsHonest: done is not said (exit code 0) of a change that is not
// everywhere where it was to be, and who lacks it is named.
func TestInstalledIsHonest(t *testing.T) {
	for _, test := range []struct {
		name, args string
		code       int
		answer     string
		exit       int
		want       []string // of the error
	}{
		{"everywhere", "route add 10.1.0.0/16 192.0.2.1 --wait installed", 200, `{"status":"route added","revision":7,"installed":["r1","r2"]}`, ExitOK, nil},
		{"one away", "route add 10.1.0.0/16 192.0.2.1 --wait installed", 200, `{"status":"route added","revision":7,"installed":["r1"],"disconnected":["r2","r3"]}`, ExitAway, []string{"installed wherever", "r2, r3", "--require"}},
		{"one away, another required", "route add 10.1.0.0/16 192.0.2.1 --wait installed --require r1", 200, `{"status":"route added","revision":7,"installed":["r1"],"disconnected":["r2"]}`, ExitOK, nil},
		{"late", "link down r1 r2 --wait installed", 202, `{"status":"link down","revision":7,"installed":["r1"],"pending":["r2"],"failed":[{"router":"r3","sink":"kernel","reason":"no"}],"disconnected":["r4"]}`,
			ExitUnavailable, []string{"in time", "pending: r2", "failed: r3", "not connected: r4"}},
		{"away, of a delete", "route delete 10.1.0.0/16 --wait installed", 200, `{"status":"route deleted","revision":7,"installed":[],"disconnected":["r2"]}`, ExitAway, []string{"r2"}},
		{"away, of an import", "route import - --wait installed", 200, `{"accepted":2,"first_revision":6,"last_revision":7,"refused":[],"installed":["r1"],"disconnected":["r2"]}`, ExitAway, []string{"r2"}},
		{"away, and refused lines", "route import - --wait installed", 200, `{"accepted":1,"first_revision":7,"last_revision":7,"refused":[{"line":1,"detail":"x"}],"installed":["r1"],"disconnected":["r2"]}`, ExitUsage, nil},
		{"a key concerns no data plane", "kv put a b --wait installed", 200, `{"key":"a","status":"set","revision":7,"installed":[],"disconnected":["r2"]}`, ExitOK, nil},
	} {
		out, err := run(t, &exchange{code: test.code, answer: test.answer}, strings.Fields(test.args)...)
		if ExitCode(err) != test.exit {
			t.Errorf("%s: exit code %d, want %d: %v", test.name, ExitCode(err), test.exit, err)
		}
		if !strings.Contains(out, "7") {
			t.Errorf("%s: what was done is not told: %q", test.name, out)
		}
		for _, w := range test.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v has no %q", test.name, err, w)
			}
		}
	}
	if errors.Is(errAway, errNotInstalled) {
		t.Error("the two are told apart")
	}
}
