package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

// patience bounds what a test waits for; it is long because a test machine may
// run everything else at the same time.
const patience = 2 * time.Minute

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// orSkip skips where the binaries are not built, and fails on any other error.
// DVR_REQUIRE_BINARIES, which `make test` sets, makes that a failure too.
func orSkip(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, testbed.ErrNoBinary) && os.Getenv("DVR_REQUIRE_BINARIES") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startNode runs a node that is ready, with its data in dir.
func startNode(t testing.TB, dir string, environment ...string) *testbed.Node {
	t.Helper()
	n, err := testbed.NewNode(dir, environment...)
	orSkip(t, err)
	return runNode(t, n)
}

// runNode starts a node and waits until it is ready.
func runNode(t testing.TB, n *testbed.Node) *testbed.Node {
	t.Helper()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Kill()
		if t.Failed() {
			t.Logf("node's log:\n%s", n.Log())
		}
	})
	if err := n.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	return n
}

// plane is a data plane and a client of its loopback service.
type plane struct {
	*testbed.DataPlane
	api fibpb.DataPlaneClient
}

// startPlane runs a data plane that is in sync with its controller.
func startPlane(t testing.TB, n *testbed.Node, router string) *plane {
	t.Helper()
	return startPlaneOf(t, n, router, "memory")
}

// startPlaneOf is startPlane with a sink and arguments.
func startPlaneOf(t testing.TB, n *testbed.Node, router, sink string, arguments ...string) *plane {
	t.Helper()
	d, err := testbed.NewDataPlane(n.Dir, router, n.FIB, arguments...)
	orSkip(t, err)
	d.Sink = sink
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			t.Logf("log of data plane %s:\n%s", router, d.Log())
		}
	})
	conn, err := grpc.NewClient(d.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 10 * time.Second, Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &plane{d, fibpb.NewDataPlaneClient(conn)}
	p.inSync(t, n, 0)
	return p
}

func (p *plane) inSync(t testing.TB, n *testbed.Node, revision uint64) {
	t.Helper()
	if err := n.InSync(within(t, patience), p.Router, revision); err != nil {
		t.Fatal(err)
	}
}

// hit is what a data plane answers for an address.
type hit struct {
	found  bool
	prefix netip.Prefix
	hops   []*fibpb.NextHop
}

func (p *plane) lookup(ctx context.Context, a netip.Addr) (hit, error) {
	got, err := p.api.Lookup(ctx, &fibpb.LookupRequest{Address: a.AsSlice()})
	if err != nil || !got.Found {
		return hit{}, err
	}
	base, ok := netip.AddrFromSlice(got.Prefix)
	if !ok {
		return hit{}, fmt.Errorf("lookup of %v answers prefix %x", a, got.Prefix)
	}
	return hit{true, netip.PrefixFrom(base, int(got.Length)), got.NextHops}, nil
}

// via names where the first next hop leads: the neighbour, else the address.
// A prefix whose group was withdrawn is dropped until it is removed.
func (h hit) via() string {
	if !h.found || len(h.hops) == 0 {
		return "nothing"
	}
	if h.hops[0].Via != "" {
		return h.hops[0].Via
	}
	a, _ := netip.AddrFromSlice(h.hops[0].Address)
	return a.String()
}

// digest is what the data plane has installed; one that was just started is waited
// for, since its controller may still take it for the one before.
func (p *plane) digest(t testing.TB) string {
	t.Helper()
	s, err := p.api.GetStats(within(t, patience), &fibpb.StatsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", s.Digest)
}

// answer is a raw HTTP answer.
type answer struct {
	code   int
	header http.Header
	body   map[string]any
	text   string
}

// call does one HTTP call, without retries.
func call(t testing.TB, n *testbed.Node, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, patience), method, "http://"+n.API+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	a := answer{code: resp.StatusCode, header: resp.Header, text: raw.String()}
	_ = json.Unmarshal(raw.Bytes(), &a.body) // NDJSON and empty bodies have no object
	return a
}

// must is call with the code that is wanted.
func must(t testing.TB, n *testbed.Node, code int, method, path, body string, headers ...string) answer {
	t.Helper()
	a := call(t, n, method, path, body, headers...)
	if a.code != code {
		t.Fatalf("%s %s %s: %d, want %d: %s", method, path, body, a.code, code, a.text)
	}
	return a
}

// revision is a member of the answer that is a number.
func (a answer) revision() uint64 {
	r, _ := a.body["revision"].(float64)
	return uint64(r)
}

// imported is the answer of an import.
type imported struct {
	Accepted     int
	RefusedCount int `json:"refused_count"`
	Refused      []struct {
		Line          int
		Field, Reason string
	}
	LastRevision uint64 `json:"last_revision"`
}

// importLines imports NDJSON, all of which must be accepted.
func importLines(t testing.TB, n *testbed.Node, body []byte) imported {
	t.Helper()
	var out imported
	_, err := n.Client.Do(within(t, patience), client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body,
		Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if out.RefusedCount > 0 {
		t.Fatalf("%d lines refused, the first: %+v", out.RefusedCount, out.Refused[0])
	}
	return out
}

func etcdClient(t testing.TB, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// history is a log as it is stored, checked and folded by this process.
type history struct {
	etcdlog.Verification
	state *projector.State
	ids   map[string]int // how often each id was committed
}

// readHistory verifies the log in an etcd (form, density, hash chain, head) and
// folds it from revision 1.
func readHistory(t testing.TB, endpoint string) history {
	t.Helper()
	h := history{ids: map[string]int{}}
	var fold *projector.Fold
	v, err := etcdlog.Verify(within(t, patience), etcdClient(t, endpoint), etcdlog.Visitor{
		Begin: func(v etcdlog.Verification) error {
			if v.Low != 1 {
				return fmt.Errorf("the log begins at revision %d", v.Low)
			}
			fold = projector.NewFold(v.LogID)
			return nil
		},
		Batch: func(b *eventlog.Batch) error {
			for i := range b.Commits {
				k := &b.Commits[i]
				h.ids[k.Actor+" "+k.ID]++
				if err := fold.Apply(k, b.Hash); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Verification, h.state = v, fold.State()
	return h
}

// agree compares the digests of replay, controller and data planes, which must
// be in sync and undisturbed.
func agree(t testing.TB, n *testbed.Node, h history, planes ...*plane) {
	t.Helper()
	status := must(t, n, http.StatusOK, http.MethodGet, "/v1/status", "")
	if got := status.revision(); got != uint64(h.Head.Revision) {
		t.Fatalf("the controller is at revision %d, the log at %d", got, h.Head.Revision)
	}
	if status.body["digest"] != h.state.Digest().String() {
		t.Errorf("digests: controller %v, replay %s", status.body["digest"], h.state.Digest())
	}
	if status.body["hash"] != fmt.Sprintf("%x", h.Head.Hash) {
		t.Errorf("hash: controller %v, log %x", status.body["hash"], h.Head.Hash)
	}
	for _, p := range planes {
		p.inSync(t, n, uint64(h.Head.Revision))
		want := h.state.FIB(eventlog.RouterID(p.Router), nil).Digest().String()
		if got := p.digest(t); got != want {
			t.Errorf("FIB digest of %s: data plane %s, replay %s", p.Router, got, want)
		}
	}
}

// scratch is a directory for a node that is kept where the test fails.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dvr-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		} else {
			t.Logf("kept: %s", dir)
		}
	})
	return dir
}
