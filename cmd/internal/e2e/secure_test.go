package e2e

import (
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
	"dvr/controller/fibpb"
)

// shown are the arguments by which a data plane shows a certificate.
func shown(f certs.Files) []string {
	return []string{"--ca-file", f.CA, "--cert-file", f.Cert, "--key-file", f.Key, "--crl-file", f.CRL}
}

// operatorFlags are those of the command line.
func operatorFlags(f certs.Files) []string {
	return []string{"--cacert", f.CA, "--cert", f.Cert, "--key", f.Key}
}

// add adds a route at the node and waits until it is installed.
func addRoute(t *testing.T, n *testbed.Node, destination string) uint64 {
	t.Helper()
	var out struct{ Revision uint64 }
	_, err := n.Client.Do(within(t, patience), client.Call{
		Method: http.MethodPost, Path: "/routes?wait=installed&timeout=60s",
		Body: []byte(`{"destination":"` + destination + `","next_hop":"192.168.1.1"}`),
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Revision
}

// TestSecureCluster: three nodes and a data plane in mutual TLS form a cluster,
// forward writes, survive the loss of the data plane's node, take in another node
// and back up; a data plane whose certificate is revoked is cut off and forwards on.
func TestSecureCluster(t *testing.T) {
	ca := certstest.New(t)
	alice := ca.Load(certs.Operator, "alice")
	nodes, err := testbed.NewCluster(scratch(t), 3)
	orSkip(t, err)
	nodes = append(nodes, nil)
	nodes[3], err = testbed.NewNode(scratch(t), "NODE_ID=node-4", "OBSERVER=true", "JOIN="+nodes[2].API)
	orSkip(t, err)
	for i, id := range []string{"node-1", "node-2", "node-3", "node-4"} {
		n := nodes[i]
		if err := n.Secure(ca.Make(certs.Node, id), alice); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			break
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			n.Kill()
			if t.Failed() {
				t.Logf("log of %s:\n%s", id, n.Log())
			}
		})
	}
	for _, n := range nodes[:3] {
		if err := n.Ready(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	p := startPlaneOf(t, nodes[0], "r1", "memory", shown(ca.Make(certs.DataPlane, "r1"))...)
	for i, destination := range []string{"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"} { // whichever leads: two are forwarded
		addRoute(t, nodes[i], destination)
	}
	runNode(t, nodes[3])
	file := filepath.Join(t.TempDir(), "dvr.backup")
	flags := operatorFlags(ca.Make(certs.Operator, "alice"))
	if out, code := run(t, append(flags, "--endpoint", nodes[3].API, "backup", file)...); code != 0 {
		t.Errorf("backup from the observer: exit %d: %s", code, out)
	}
	if out, code := run(t, "--endpoint", nodes[1].API, "route", "list"); code == 0 || !strings.Contains(out, "--cacert") {
		t.Errorf("in clear text: exit %d: %s", code, out)
	}

	nodes[0].Kill() // the data plane has learnt of the others
	last := addRoute(t, nodes[1], "10.4.0.0/16")
	p.inSync(t, nodes[1], last)

	if _, err := ca.Revoke(ca.Load(certs.DataPlane, "r1").Own().SerialNumber); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t, patience); ; {
		var body struct{ Dataplanes []testbed.DataPlaneStatus }
		if err := nodes[1].Get(ctx, "/v1/dataplanes", &body); err != nil {
			t.Fatal(err)
		}
		if len(body.Dataplanes) == 1 && !body.Dataplanes[0].Connected {
			break
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
	if hit, err := p.lookup(within(t, patience), netip.MustParseAddr("10.4.1.1")); err != nil || !hit.found {
		t.Errorf("it does not forward on: %+v, %v", hit, err)
	}
}

// TestLaunchInTLS: one command makes a cluster in mutual TLS with its data
// planes; without a certificate nobody gets past it; its next start goes on so.
func TestLaunchInTLS(t *testing.T) {
	_, err := testbed.Binary("dvr-dataplane")
	orSkip(t, err)
	l := newLaunch(t, "--tls", "--data-planes", "--nodes", "3")
	l.start()
	three := []string{"node1", "node2", "node3"}
	files := certs.Files{
		CA:   filepath.Join(l.data, "certs", "ca.crt"),
		Cert: filepath.Join(l.data, "certs", "operator", "operator.crt"), Key: filepath.Join(l.data, "certs", "operator", "operator.key"),
	}
	operator, err := certs.Load(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.http = &http.Client{Transport: &http.Transport{DialTLSContext: operator.Dial(patience, certs.Node)}}
	defer l.http.CloseIdleConnections()
	nodes := l.healthy(three...)
	l.eventually("the data planes are in sync", func(n map[string]launchedNode) bool {
		return !slices.ContainsFunc(three, func(id string) bool { return n[id].DataPlane.Status != "in sync" })
	})
	l.want(201, `"node2"`, "POST", "/api/node/node1/routes?wait=installed&timeout=60s", route("10.1.0.0/16"))
	flags := append(operatorFlags(files), "--endpoint", "127.0.0.1:"+strconv.Itoa(nodes["node2"].APIPort))
	if out, code := run(t, append(flags, "cluster", "members")...); code != 0 || strings.Count(out, "voter") != 3 {
		t.Errorf("exit %d: %s", code, out)
	}
	l.want(200, `"id":"node4"`, "POST", "/api/control/add", `{"node_id":"node4"}`)
	l.healthy("node1", "node2", "node3", "node4")

	bare, err := certs.Load(certs.Files{CA: files.CA}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.http = &http.Client{Transport: &http.Transport{DialTLSContext: bare.Dial(patience, certs.Node), DisableKeepAlives: true}}
	l.want(401, "", "GET", "/api/control/nodes", "")
	l.want(401, "", "POST", "/api/control/delete/node4", "")
	l.want(401, "", "GET", "/api/node/node1/routes", "")

	l.http = &http.Client{Transport: &http.Transport{DialTLSContext: operator.Dial(patience, certs.Node), DisableKeepAlives: true}}
	l.end(syscall.SIGKILL) // the nodes run on
	l.arguments = slices.DeleteFunc(l.arguments, func(a string) bool { return a == "--tls" })
	l.start()
	again := l.healthy("node1", "node2", "node3", "node4")
	if !strings.HasPrefix(l.url, "https://") || !again["node1"].Adopted || again["node1"].PID != nodes["node1"].PID {
		t.Errorf("it goes on at %s with %+v", l.url, again["node1"])
	}
}

// impostor listens as a controller that welcomes everybody who says hello.
type impostor struct {
	fibpb.UnimplementedFibServer
	greeted chan string
}

func (i *impostor) Subscribe(stream fibpb.Fib_SubscribeServer) error {
	m, err := stream.Recv()
	if err == nil {
		i.greeted <- m.GetHello().GetRouter()
		<-stream.Context().Done()
	}
	return err
}

func (i *impostor) serve(t *testing.T, c *certs.Credentials) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(c.ServeRPC(certs.DataPlane)...)
	fibpb.RegisterFibServer(s, i)
	go func() { _ = s.Serve(l) }() // ends with Stop
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// TestImpostors: what a data plane does not take for a controller hears nothing of it.
func TestImpostors(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	r1 := ca.Make(certs.DataPlane, "r1")
	elsewhere := certs.Identity{Kind: certs.Node, Name: "elsewhere"}
	if _, err := ca.Issue(elsewhere, []string{"10.9.9.9"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	wrongName, err := certs.Load(ca.Files(elsewhere), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := ca.Load(certs.Node, "gone")
	if _, err := ca.Revoke(gone.Own().SerialNumber); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		controller *certs.Credentials // nil: clear text
		want       string             // in the data plane's log; empty: it says hello
	}{
		"a node":               {ca.Load(certs.Node, "node-1"), ""},
		"another authority's":  {other.Load(certs.Node, "node-1"), "certificate verify failed"},
		"another host's":       {wrongName, "does not name the host dialled"},
		"expired":              {ca.At(time.Now().Add(-48*time.Hour)).Load(certs.Node, "late"), "certificate verify failed"},
		"revoked":              {gone, "was revoked"},
		"another data plane's": {ca.Load(certs.DataPlane, "r2"), "certificate verify failed"},
		"clear text":           {nil, "wrong version number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := &impostor{greeted: make(chan string, 100)}
			d, err := testbed.NewDataPlane(scratch(t), "r1", i.serve(t, c.controller), append(shown(r1), "--log-level", "debug")...)
			orSkip(t, err)
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			defer d.Kill()
			ctx := within(t, patience)
			for {
				select {
				case router := <-i.greeted:
					if c.want != "" || router != "r1" {
						t.Errorf("it said hello as %s", router)
					}
					return
				case <-ctx.Done():
					t.Fatalf("neither hello nor %q:\n%s", c.want, d.Log())
				case <-time.After(10 * time.Millisecond): // polls another process
				}
				if c.want != "" && strings.Contains(d.Log(), c.want) {
					return
				}
			}
		})
	}
}

// TestDataPlaneCertificates: what cannot be used ends the start, with the reason.
func TestDataPlaneCertificates(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	r1, r2, node := ca.Make(certs.DataPlane, "r1"), ca.Make(certs.DataPlane, "r2"), ca.Make(certs.Node, "r1")
	foreign := other.Make(certs.DataPlane, "r1")
	with := func(change func(*certs.Files)) certs.Files {
		f := r1
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		files certs.Files
		want  string
	}{
		"another router's": {r2, "dvr cert issue dataplane r1"},
		"a node's":         {node, "dvr://node/r1"},
		"absent":           {with(func(f *certs.Files) { f.Cert = "/nowhere" }), "cannot read /nowhere"},
		"another's key":    {with(func(f *certs.Files) { f.Key = r2.Key }), "is not the private key of"},
		"another's list":   {with(func(f *certs.Files) { f.CRL = foreign.CRL }), "was not signed by an authority"},
		"no PEM":           {with(func(f *certs.Files) { f.CA = f.CRL }), "no certificate in PEM"},
	} {
		d, err := testbed.NewDataPlane(scratch(t), "r1", "127.0.0.1:1", shown(c.files)...)
		orSkip(t, err)
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		if code, err := d.Wait(within(t, patience)); err != nil || code != 1 || !strings.Contains(d.Log(), c.want) {
			t.Errorf("%s: exit %d, %v, want %q in\n%s", name, code, err, c.want, d.Log())
		}
		d.Kill()
	}
}
