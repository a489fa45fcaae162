package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/dataplane/tables"
)

// kernelState is what a node says of a data plane with a kernel sink.
type kernelState struct {
	Connected   bool
	DigestEqual bool `json:"digest_equal"`
	Deviates    bool
	Failed      uint64
	Position    struct{ Revision uint64 }
	Counters    map[string]uint64
	States      []sinkState `json:"sink_states"`
}

type sinkState struct {
	Name, Installed           string
	Entries, Failed, Repaired uint64
	Failures                  []struct{ Prefix, Reason string }
}

// kernel is the state of the kernel sink.
func (k kernelState) kernel() sinkState {
	for _, s := range k.States {
		if s.Name == "kernel" {
			return s
		}
	}
	return sinkState{}
}

func stateOf(t testing.TB, n *testbed.Node) kernelState {
	t.Helper()
	var body struct{ Dataplanes []kernelState }
	if err := n.Get(within(t, patience), "/v1/dataplanes", &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Dataplanes) != 1 {
		t.Fatalf("%d data planes", len(body.Dataplanes))
	}
	return body.Dataplanes[0]
}

// eventually waits for what other processes do.
func eventually(t testing.TB, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond) // polls other processes: nothing to wait on
	}
	return time.Since(begin)
}

func hasAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// TestKernelSink: routes by HTTP are the kernel's, told when they are, set right
// when somebody changes them, and there whoever dies.
func TestKernelSink(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := startNode(t, scratch(t))
	p := startPlaneOf(t, n, "r1", "kernel", "--tune-kernel")
	add := func(route string) answer {
		t.Helper()
		return must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", route)
	}
	add(`{"destination":"192.0.2.0/24","next_hop":"10.0.0.2"}`)
	add(`{"destination":"192.0.2.0/24","next_hop":"10.0.1.2"}`)
	add(`{"destination":"198.51.100.0/24","next_hop":"fd00:a::2"}`) // RFC 8950
	add(`{"destination":"2001:db8::/32","next_hop":"fd00:b::2","interface":"w1"}`)
	add(`{"destination":"203.0.113.0/24","type":"blackhole"}`)
	add(`{"destination":"2001:db8:9::/48","type":"unreachable"}`)
	last := add(`{"destination":"0.0.0.0/0","next_hop":"10.0.0.2"}`)
	shown := ours(t)
	for _, line := range []string{
		"via 10.0.0.2 dev w0", "via 10.0.1.2 dev w1", "via fd00:a::2 dev w0", "via fd00:b::2 dev w1",
		"203.0.113.0/24", "unreachable 2001:db8:9::/48", "default", "metric 70",
	} {
		if !strings.Contains(shown, line) {
			t.Errorf("%q is not there:\n%s", line, shown)
		}
	}
	// What the data plane says of itself is what the controller computes of it.
	state := stateOf(t, n)
	if state.Position.Revision != last.revision() || !state.DigestEqual || state.kernel().Entries != 6 || state.kernel().Failed != 0 {
		t.Errorf("%+v after revision %d", state, last.revision())
	}
	if got := p.digest(t); got != state.kernel().Installed {
		t.Errorf("digest received %s, in the kernel %s", got, state.kernel().Installed)
	}
	agree(t, n, readHistory(t, n.Etcd), p)

	t.Run("a foreign change is repaired and told", func(t *testing.T) {
		for i, line := range []string{"route del 192.0.2.0/24", "-6 route del 2001:db8::/32", "route replace 203.0.113.0/24 via 10.0.0.9 metric 70", "nexthop flush proto 68"} {
			before := stateOf(t, n).kernel().Repaired
			ip(t, line)
			took := eventually(t, line, func() bool { return stateOf(t, n).kernel().Repaired > before && routesOf(ours(t)) == routesOf(shown) })
			t.Logf("ip %s: right again, and known at the node, after %v", line, took.Round(time.Millisecond))
			if i == 0 {
				if log := p.Log(); !hasAll(log, "kernel routes restored", "192.0.2.0/24", "removed by process") {
					t.Errorf("its log:\n%s", log)
				}
			}
		}
		if page := must(t, n, http.StatusOK, http.MethodGet, "/metrics", "").text; !hasAll(page, `dvr_dataplane_sink_entries{router="r1",sink="kernel"} 6`, `dvr_dataplane_sink_repaired_total{router="r1",sink="kernel"}`) {
			t.Error("the metrics do not tell")
		}
	})

	t.Run("an audit finds and removes what is left over", func(t *testing.T) {
		ip(t, "route add 100.64.0.0/10 via 10.0.0.2 proto 68 metric 70")
		out := dvr(t, n, p, "-o", "json", "dataplane", "audit", "--router", "r1")
		var report struct {
			Sinks []struct {
				Name        string
				Complete    bool
				Entries     uint64
				Differences []struct {
					Prefix, Cause string
					Count         uint64
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err)
		}
		if len(report.Sinks) != 1 || !report.Sinks[0].Complete || report.Sinks[0].Entries != 7 || len(report.Sinks[0].Differences) != 1 || report.Sinks[0].Differences[0].Prefix != "100.64.0.0/10" {
			t.Errorf("%s", out)
		}
		if now := ours(t); routesOf(now) != routesOf(shown) {
			t.Errorf("now\n%s\nwas\n%s", now, shown)
		}
		if out := dvr(t, n, p, "dataplane", "audit", "--at", p.Listen); !hasAll(out, "kernel", "right") {
			t.Error(out)
		}
		if out := dvr(t, n, p, "dataplane", "counters", "--at", p.Listen); !hasAll(out, "kernel_routes_added", "kernel_audits") {
			t.Error(out)
		}
		eventually(t, "counters at the node", func() bool { return stateOf(t, n).Counters["kernel_audits"] >= 2 })
		if out := dvr(t, n, p, "dataplane", "counters", "--router", "r1"); !hasAll(out, "kernel_routes_added", "kernel_audits") {
			t.Error(out)
		}
	})

	t.Run("what the kernel refuses is told and comes when it can", func(t *testing.T) {
		a := call(t, n, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", `{"destination":"172.20.0.0/16","next_hop":"172.16.9.9"}`)
		if a.code != http.StatusAccepted || !hasAll(a.text, `"prefix":"172.20.0.0/16"`, "next hop 172.16.9.9: no interface has it on its link") {
			t.Errorf("%d %s", a.code, a.text)
		}
		ip(t, "addr add 172.16.9.1/24 dev w1")
		eventually(t, "its network", func() bool { return stateOf(t, n).kernel().Failed == 0 })
		if !strings.Contains(ours(t), "172.20.0.0/16") {
			t.Error(ours(t))
		}
	})

	t.Run("routes outlive data plane and node, and are left alone", func(t *testing.T) {
		before := ours(t)
		p.Kill()
		if now := ours(t); now != before {
			t.Errorf("after kill -9\n%s\nbefore\n%s", now, before)
		}
		m := monitor(t)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		p.inSync(t, n, 0)
		eventually(t, "the kernel's state", func() bool { return stateOf(t, n).kernel().Entries == 7 })
		if now := ours(t); now != before {
			t.Errorf("after the restart\n%s\nbefore\n%s", now, before)
		}
		if repaired := stateOf(t, n).kernel().Repaired; repaired != 0 {
			t.Errorf("%d repaired in a restart", repaired)
		}
		add(`{"destination":"198.18.0.0/15","next_hop":"10.0.0.2"}`) // the first change since
		for {
			line := m()
			if strings.Contains(line, "198.18.0.0/15") {
				break
			}
			// A next-hop group comes before its route; nothing else may happen.
			if !strings.Contains(line, "id ") || strings.HasPrefix(line, "Deleted") {
				t.Errorf("the kernel was changed: %s", line)
			}
		}
		before = ours(t)
		n.Kill()
		p.Kill()
		if now := ours(t); now != before {
			t.Errorf("without a node\n%s\nbefore\n%s", now, before)
		}
	})
}

// routesOf is what ours shows without the ids of next hops, which are others after a flush.
func routesOf(shown string) string {
	var b strings.Builder
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "id ") {
			continue
		}
		fields := strings.Fields(line)
		for i, f := range fields {
			if i > 0 && fields[i-1] == "nhid" {
				f = "N"
			}
			b.WriteString(f + " ")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// dvr runs the command line against the node.
func dvr(t testing.TB, n *testbed.Node, p *plane, arguments ...string) string {
	t.Helper()
	binary, err := testbed.Binary("dvr")
	orSkip(t, err)
	cmd := exec.CommandContext(within(t, patience), binary, arguments...)
	cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+n.API, "DVR_LISTEN="+p.Listen)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("dvr %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// monitor gives the kernel's changes of routes and next hops from here on, a line a call.
func monitor(t *testing.T) func() string {
	t.Helper()
	cmd := exec.CommandContext(within(t, patience), "ip", "monitor", "route", "nexthop")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := make(chan string, 1024)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	var heard []string
	hear := func(wait time.Duration) (string, bool) {
		select {
		case line := <-lines:
			heard = append(heard, line)
			return line, true
		case <-ended:
			t.Fatalf("the monitor ended: %s", said.String())
		case <-time.After(wait): // for what another process does
		}
		return "", false
	}
	next := func() string {
		line, ok := hear(patience)
		if !ok {
			t.Fatalf("nothing more than\n%s", strings.Join(heard, "\n"))
		}
		return line
	}
	// It listens when it tells of one; a replacement by the same would be told to nobody.
	for ready := false; !ready; {
		ip(t, "route add 198.19.255.0/24 dev w0")
		ip(t, "route del 198.19.255.0/24 dev w0")
		_, ready = hear(20 * time.Millisecond)
	}
	ip(t, "route add 198.19.254.0/24 dev w0")
	ip(t, "route del 198.19.254.0/24 dev w0")
	for !strings.HasPrefix(next(), "Deleted 198.19.254.0/24") {
	}
	return next
}

// TestKernelFullTable: the Internet's table from HTTP into the kernel; somebody
// flushes it, and it is restored.
func TestKernelFullTable(t *testing.T) {
	if testing.Short() {
		t.Skip("imports a million prefixes")
	}
	if _, long := stressTime(t); !long {
		t.Skip("takes the kernel's lock for a minute: `make stress`")
	}
	if !inNamespace(t) {
		return
	}
	n := startNode(t, scratch(t))
	p := startPlaneOf(t, n, "r1", "kernel", "--tune-kernel")
	origins, err := tables.Full()
	if err != nil {
		t.Fatal(err)
	}
	spread := tables.NewSpread(64)
	body := make([]byte, 0, 90<<20)
	for _, origin := range origins {
		body = fmt.Appendf(body, "{\"destination\":\"%s\",\"next_hop\":\"%s\",\"metric\":10}\n", origin.Prefix, tables.NextHop(spread.Index(origin), origin.Prefix))
	}
	begin := time.Now()
	out := importLines(t, n, body)
	logged := time.Since(begin)
	p.inSync(t, n, out.LastRevision)
	want := uint64(len(origins))
	right := func() bool {
		k := stateOf(t, n).kernel()
		return k.Entries == want && k.Failed == 0 && k.Installed == p.digest(t)
	}
	eventually(t, "the kernel has all", right)
	t.Logf("%d prefixes logged in %v, in the kernel after %v", want, logged.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	for _, line := range []string{"nexthop flush proto 68", "-4 route flush proto 68"} {
		before := stateOf(t, n).kernel().Repaired
		begin := time.Now()
		// The second one flushes what is restored meanwhile, too, and gives up after a time.
		_ = exec.Command("ip", strings.Fields(line)...).Run()
		flushed := time.Since(begin)
		eventually(t, line, func() bool { return stateOf(t, n).kernel().Repaired > before && right() })
		t.Logf("ip %s: took %v, restored %v after it had ended", line, flushed.Round(time.Millisecond), (time.Since(begin) - flushed).Round(time.Millisecond))
	}
	agree(t, n, readHistory(t, n.Etcd), p)
}
