package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

// networkPicture is what the demonstration shows first.
const networkPicture = `
                         ┌── berlin ────┬──── frankfurt ──┐
  10.1.0.1  ── hamburg ──┤              ╳                 ├── muenchen ──  10.8.0.1-8
  fd00:1::1              └── hannover ──┴──── nuernberg ──┤               fd00:8::1-8
                                │                         │
                              koeln ──────── stuttgart ───┘
`

// TestNetwork is the demonstration of a network, `make demo-network`: eight
// routers as namespaces, whose kernels forward pings, and three nodes. A veth is
// cut and the pings go on, with and without a quorum; a bad commit is previewed
// and undoes itself although its leader is killed; explain names whose doing a
// second one is, and a rollback takes it back.
func TestNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("runs eleven processes for half a minute")
	}
	for _, binary := range []string{"dvr", "dvr-dataplane"} {
		_, err := testbed.Binary(binary)
		orSkip(t, err)
	}
	if !inEmptyNamespace(t) {
		return
	}
	d := startDemo(t)
	for _, act := range []func(){d.aCut, d.aCutWithoutQuorum, d.aBadCommit, d.aCulprit, d.theEnd} {
		act()
		if t.Failed() {
			return
		}
	}
}

// demo is the network and those who look at it.
type demo struct {
	*lab
	cables []cable
	nodes  []*testbed.Node
	planes []*testbed.DataPlane
	pings  *pings
	began  time.Time
	title  string
}

func startDemo(t *testing.T) *demo {
	d := &demo{began: time.Now(), cables: []cable{
		{"berlin", "hamburg", 10}, {"hamburg", "hannover", 10},
		{"berlin", "frankfurt", 10}, {"berlin", "nuernberg", 10}, {"frankfurt", "hannover", 10}, {"hannover", "nuernberg", 10},
		{"frankfurt", "muenchen", 10}, {"muenchen", "nuernberg", 10},
		{"hannover", "koeln", 10}, {"koeln", "stuttgart", 10}, {"muenchen", "stuttgart", 10},
	}}
	d.lab = newLab(t, []string{"hamburg", "berlin", "hannover", "frankfurt", "nuernberg", "koeln", "stuttgart", "muenchen"}, d.cables)
	d.act("Eight routers, three nodes")
	d.say(networkPicture)
	d.say("Each router is a network namespace whose kernel forwards, each line a veth of cost 10. A data plane at each router has three")
	d.say("nodes to ask, over a network of its own. Routers, links and the prefixes of two sites are one file:")

	var targets []netip.Addr
	d.batch("hamburg", "addr add 10.1.0.1/24 dev lan", "addr add fd00:1::1/64 dev lan nodad")
	for i := range 8 {
		v4, v6 := netip.AddrFrom4([4]byte{10, 8, 0, byte(i + 1)}), netip.MustParseAddr(fmt.Sprintf("fd00:8::%d", i+1))
		d.batch("muenchen", fmt.Sprintf("addr add %s/24 dev lan", v4), fmt.Sprintf("addr add %s/64 dev lan nodad", v6))
		targets = append(targets, v4, v6)
	}

	d.nodes = members(t, 3)
	for i, n := range d.nodes {
		_, port, _ := strings.Cut(n.FIB, ":")
		n.FIB = fmt.Sprintf("10.255.0.%d:%s", 241+i, port)
		n.Environment = append(n.Environment, "INSECURE=true")
	}
	launch(t, d.nodes...)
	ready(t, d.nodes...)
	t.Cleanup(func() {
		if t.Failed() {
			var body json.RawMessage
			err := d.running().Get(context.Background(), "/v1/dataplanes", &body) // the test's context has ended
			t.Logf("data planes: %s %v", body, err)
		}
	})
	d.dvrOf("alice", true, "commit", d.file("network.json", d.declarations()...), "--reason", "the network")
	d.startPlanes()
	d.eventually("every kernel has its routes", func() bool { return d.installed() })
	d.dvr("dataplane", "list")
	d.quote("hamburg# ip route show proto 68", d.ip("hamburg", "route show proto 68"))
	d.pings = startPings(t, d.lab, "hamburg", netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1"), targets)
	d.eventually("pings are answered", func() bool { return d.pings.healthy(d.began) })
	d.say("hamburg pings sixteen addresses at muenchen, each every %v, until the end.", pingEvery)
	return d
}

// declarations are the network as events of one commit.
func (d *demo) declarations() []map[string]any {
	var events []map[string]any
	for _, r := range d.routers {
		events = append(events, map[string]any{"kind": "router.set", "router": r})
	}
	for i, w := range d.cables {
		v4, v6 := w.addresses(i + 1)
		events = append(events, map[string]any{
			"kind": "link.set", "a": w.a, "b": w.b, "cost_ab": w.cost, "cost_ba": w.cost, "interface_a": w.end(w.a), "interface_b": w.end(w.b),
			"address_a": []string{v4[0], v6[0]}, "address_b": []string{v4[1], v6[1]},
		})
	}
	for _, site := range [][2]string{{"hamburg", "10.1.0.0/24"}, {"hamburg", "fd00:1::/64"}, {"muenchen", "10.8.0.0/24"}, {"muenchen", "fd00:8::/64"}} {
		events = append(events, map[string]any{"kind": "route.announced", "router": site[0], "destination": site[1], "interface": "lan"})
	}
	return events
}

// file writes a commit's events, one a line, and gives the file's name.
func (d *demo) file(name string, events ...map[string]any) string {
	d.t.Helper()
	var lines []byte
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			d.t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := os.WriteFile(filepath.Join(d.nodes[0].Dir, name), lines, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return name
}

func (d *demo) startPlanes() {
	d.t.Helper()
	var controllers []string
	for _, n := range d.nodes {
		controllers = append(controllers, n.FIB)
	}
	dir := scratch(d.t)
	for _, r := range d.routers {
		p, err := testbed.NewDataPlane(dir, r, strings.Join(controllers, ","))
		if err != nil {
			d.t.Fatal(err)
		}
		p.Sink = "kernel"
		d.within(r, func() { err = p.Start() })
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() {
			p.Kill()
			if d.t.Failed() {
				d.t.Logf("log of data plane %s:\n%s", r, p.Log())
			}
		})
		d.planes = append(d.planes, p)
	}
}

// running is a node that answers.
func (d *demo) running() *testbed.Node {
	for _, n := range d.nodes {
		if n.Running() {
			return n
		}
	}
	d.t.Fatal("no node runs")
	return nil
}

// installed reports whether every data plane has in its kernel what a node computes.
func (d *demo) installed() bool {
	var body struct {
		Dataplanes []struct {
			kernelState
			Lag uint64
		}
	}
	if d.running().Get(within(d.t, patience), "/v1/dataplanes", &body) != nil || len(body.Dataplanes) != len(d.routers) {
		return false
	}
	for _, p := range body.Dataplanes {
		if !p.Connected || !p.DigestEqual || p.Deviates || p.Failed > 0 || p.Lag > 0 {
			return false
		}
	}
	return true
}

// seen is what the routers at a cable's ends are known to see of it, in the log.
func (d *demo) seen(w cable) string {
	var body struct{ Observed map[string]string }
	if d.running().Get(within(d.t, patience), "/v1/links/"+w.a+"/"+w.b, &body) != nil {
		return ""
	}
	var states []string
	for _, state := range body.Observed {
		states = append(states, state)
	}
	slices.Sort(states)
	return strings.Join(slices.Compact(states), ", ")
}

func (d *demo) revision() uint64 {
	return must(d.t, d.running(), http.StatusOK, http.MethodGet, "/v1/status", "").revision()
}

// aCut takes a cable away: what both ends see goes into the log, and all routers
// go another way.
func (d *demo) aCut() {
	w := d.cables[0]
	d.act("A cable is cut: " + w.String())
	d.say("Nobody tells the nodes: both ends see that their carrier is gone.")
	r := d.revision()
	l := d.cut(w)
	d.eventually("the link counts as down", func() bool { return d.seen(w) == "down" })
	d.eventually("all is installed", d.installed)
	d.say("%v", l)
	d.dvr("log", "list", "--after", fmt.Sprint(r))
	d.say("Now berlin reaches hamburg by hannover:")
	d.contains(d.dvr("explain", "10.1.0.1", "--router", "berlin"), "hannover (above)", "seen by the data plane of berlin")
	d.mend(w)
}

// cut takes a cable's carrier away, and waits until every flow is answered again.
func (d *demo) cut(w cable) loss {
	begin := time.Now()
	d.quote(w.a+"# ip link set "+w.end(w.a)+" down", d.ip(w.a, "link set "+w.end(w.a)+" down"))
	after := time.Now()
	d.eventually("pings are answered with "+w.String()+" cut", func() bool { return d.pings.healthy(after) })
	return d.lost(begin)
}

// mend brings a cable back, and waits until it is used again.
func (d *demo) mend(w cable) {
	begin := time.Now()
	d.quote(w.a+"# ip link set "+w.end(w.a)+" up", d.ip(w.a, "link set "+w.end(w.a)+" up"))
	d.eventually(w.String()+" is seen up", func() bool { return d.seen(w) == "up" })
	d.eventually("all is as before", d.installed)
	d.eventually("pings are answered", func() bool { return d.pings.healthy(begin) })
	d.say("%s is used again. Meanwhile: %v", w, d.lost(begin))
}

// lost is the loss since begin, when the last of the pings are over.
func (d *demo) lost(begin time.Time) loss {
	end := time.Now()
	d.eventually("the pings' time is over", func() bool { return time.Since(end) > pingWait })
	return d.pings.since(begin)
}

// aCutWithoutQuorum cuts a cable when nothing can be logged: the routers at its
// ends go on with what is left of their groups.
func (d *demo) aCutWithoutQuorum() {
	d.act("Another one, without a quorum")
	d.say("Two of the three nodes are killed. Nothing can be committed any more:")
	for _, n := range d.nodes[:2] {
		n.Kill()
	}
	d.eventually("nobody leads", func() bool {
		return !strings.Contains(call(d.t, d.running(), http.MethodGet, "/v1/status", "").text, `"leader":`)
	})
	d.dvrOf("alice", false, "route", "add", "198.51.100.0/24", "--router", "muenchen", "--interface", "lan", "--timeout", "1s")
	r := d.revision()

	// The one in the middle that most of the pings take.
	busiest := func() (w cable) {
		before := map[cable]uint64{}
		count := func(w cable) uint64 { return d.sent(w.a, w.end(w.a)) + d.sent(w.b, w.end(w.b)) }
		for _, w := range d.cables[2:6] {
			before[w] = count(w)
		}
		begin := time.Now()
		d.eventually("half a second of pings", func() bool { return time.Since(begin) > 500*time.Millisecond })
		most := uint64(0)
		for _, candidate := range d.cables[2:6] {
			if n := count(candidate) - before[candidate]; n > most {
				w, most = candidate, n
			}
		}
		return w
	}()
	d.say("The link that most of the pings take now is %v. Both of its ends have a second way of the same cost:", busiest)
	l := d.cut(busiest)
	d.say("%v", l)
	if now := d.revision(); now != r {
		d.t.Errorf("the log went on without a quorum: from revision %d to %d", r, now)
	}
	d.say("The data planes took the dead next hop out of their groups by themselves. The log is still at revision %d.", r)
	d.say("The two nodes come back, and are told what was seen:")
	launch(d.t, d.nodes[:2]...)
	ready(d.t, d.nodes[:2]...)
	d.eventually("the link counts as down", func() bool { return d.seen(busiest) == "down" })
	d.dvr("log", "list", "--after", fmt.Sprint(r))
	d.mend(busiest)
}

// to4 are the addresses that bad commits are about.
func to4(a netip.Addr) bool { return a.Is4() }

// aBadCommit is previewed, committed for a trial, and undone without anybody's doing.
func (d *demo) aBadCommit() {
	d.act("A bad commit undoes itself, although the leader is killed")
	d.say("bob renumbers muenchen, and mistypes the prefix. A dry run tells what that would do at every router:")
	change := d.file("renumber.json",
		map[string]any{"kind": "route.withdrawn", "router": "muenchen", "destination": "10.8.0.0/24", "interface": "lan"},
		map[string]any{"kind": "route.announced", "router": "muenchen", "destination": "10.80.0.0/24", "interface": "lan"})
	before := d.revision()
	d.contains(d.dvrOf("bob", true, "commit", change, "--dry-run"), "prefix-lost", "10.8.0.0/24", "nothing is stored")
	if now := d.revision(); now != before {
		d.t.Errorf("the dry run went into the log: from revision %d to %d", before, now)
	}
	lead, _ := leader(d.t, d.nodes...)
	d.say("He does not read it, but he is careful: without a confirmation within 5 s it shall be as before.")
	begin := time.Now()
	a := d.committed(d.dvrOf("bob", true, "commit", change, "--reason", "renumber muenchen", "--confirm-within", "5s", "--wait", "installed"))
	d.eventually("the way to 10.8.0.0/24 is gone", func() bool { return d.pings.silent(begin, to4) || d.undone(a) > 0 })
	d.say("10.8.0.1 to 10.8.0.8 do not answer any more, and now the node that leads is killed as well (kill -9 of %s).", name(lead))
	lead.Kill()
	d.eventually("it is undone", func() bool { return d.undone(a) > 0 })
	d.eventually("pings are answered", func() bool { return d.pings.healthy(begin) })
	d.say("It was undone %v after the commit. %v", time.Since(begin).Round(100*time.Millisecond), d.lost(begin))
	d.dvr("log", "list", "--after", fmt.Sprint(before))
	launch(d.t, lead)
	ready(d.t, lead)
	if n := undoings(d.t, lead, a); n != 1 {
		d.t.Errorf("undone %d times", n)
	}
}

// undone is how often a commit was undone, as a node that answers knows.
func (d *demo) undone(revision uint64) int {
	a := call(d.t, d.running(), http.MethodGet, "/v1/commits?after=0&limit=1000", "")
	return strings.Count(a.text, fmt.Sprintf(`{"kind":"confirmation.undone","revision":%d}`, revision))
}

// name is a node's.
func name(n *testbed.Node) string {
	for _, kv := range n.Environment {
		if id, ok := strings.CutPrefix(kv, "NODE_ID="); ok {
			return id
		}
	}
	return "?"
}

// aCulprit: somebody else has broken it; who and why is asked, and it is taken back.
func (d *demo) aCulprit() {
	d.act("Who was it?")
	begin := time.Now()
	a := must(d.t, d.running(), http.StatusCreated, http.MethodPost, "/routes?wait=installed&timeout=60s&reason=test+bench+in+Koeln", `{"router":"koeln","destination":"10.8.0.0/25","interface":"lan"}`, "X-DVR-Actor", "carol").revision()
	d.eventually("10.8.0.0/25 leads to koeln", func() bool { return d.pings.silent(begin, to4) })
	d.say("Since a moment ago 10.8.0.1 to 10.8.0.8 do not answer, while fd00:8::1 to fd00:8::8 do. Where do packets go, why, and whose doing is it?")
	d.contains(d.dvr("explain", "10.8.0.1", "--router", "hamburg"), "10.8.0.0/25", "koeln", "carol", "test bench in Koeln")
	d.say("carol's revision %d it is: a longer prefix at koeln. What would taking it back do?", a)
	d.contains(d.dvr("rollback", fmt.Sprint(a), "--dry-run"), "10.8.0.0/25", "nothing is stored")
	d.dvrOf("alice", true, "rollback", fmt.Sprint(a), "--reason", "not there, carol", "--wait", "installed")
	after := time.Now()
	d.eventually("pings are answered", func() bool { return d.pings.healthy(after) })
	d.say("%v", d.lost(begin))
	d.dvr("blame", "10.8.0.0/25")
}

// theEnd compares what is installed with the log.
func (d *demo) theEnd() {
	d.act("All agree")
	d.eventually("all is installed", d.installed)
	h := readHistory(d.t, d.running().Etcd)
	for _, n := range d.nodes {
		must(d.t, n, http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/status?min_revision=%d", h.Head.Revision), "")
		agree(d.t, n, h)
	}
	d.say("Three nodes and eight data planes hold what a replay of the log from its beginning gives, at revision %d.", h.Head.Revision)
	d.say("Altogether: %v. It took %v.", d.lost(d.began), time.Since(d.began).Round(time.Second))
}
