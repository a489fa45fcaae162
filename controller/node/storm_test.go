package node

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
	"dvr/controller/fibpb"
)

// plane is the stream of a data plane of the storm, and its connection.
type plane struct {
	conn   *grpc.ClientConn
	stream fibpb.Fib_SubscribeClient
}

// TestReconnectStorm: a thousand data planes come at once, are cut at once and
// come again at once, each by a connection of its own: all are served, calls go on
// meanwhile, and what they held is given back.
func TestReconnectStorm(t *testing.T) {
	const many = 1000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 3*many {
		t.Skipf("both ends of %d connections need more open files than %d", many, limit.Cur)
	}
	if testing.Short() {
		t.Skip("a thousand data planes are not for -short")
	}
	n, _, _ := start(t, environment(t, t.TempDir()))
	before := runtime.NumGoroutine()
	planes := make([]plane, many)
	come := func() {
		t.Helper()
		var all sync.WaitGroup
		errs := make(chan error, many)
		room := make(chan struct{}, 200) // dials at a time, as the backlog has room
		for i := range planes {
			all.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				t.Cleanup(cancel)
				conn, err := grpc.NewClient("passthrough:///"+n.FIBAddr(), (*certs.Credentials)(nil).DialRPC(certs.Node))
				if err != nil {
					errs <- err
					return
				}
				planes[i].conn = conn
				if planes[i].stream, err = fibpb.NewFibClient(conn).Subscribe(ctx); err == nil {
					_ = planes[i].stream.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{
						Protocol: 1, Router: fmt.Sprint("r", i), Instance: fmt.Sprint("i", i), DigestVersions: []uint32{1}, Credit: 4,
					}}})
					_, err = planes[i].stream.Recv()
				}
				if err != nil {
					errs <- fmt.Errorf("data plane %d: %w", i, err)
				}
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
	}
	connected := func() (out int) {
		for _, c := range n.planes.Claims() {
			if c.Connected {
				out++
			}
		}
		return out
	}
	for round := range 2 {
		begun := time.Now()
		come()
		took := time.Since(begun)
		if got := connected(); got != many {
			t.Errorf("round %d: %d are connected", round, got)
		}
		begun = time.Now()
		if code, body := call(t, n, "POST", "/routes", aRoute); code != 201 && code != 200 {
			t.Errorf("a change: %d %s", code, body)
		}
		t.Logf("round %d: %d in %s, then a change in %s", round, many, took.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
		for i := range planes {
			_ = planes[i].conn.Close()
		}
	}
	end := time.Now().Add(patience)
	for connected() > 0 || runtime.NumGoroutine() > before+100 {
		if time.Now().After(end) {
			t.Fatalf("%d are connected, %d goroutines more", connected(), runtime.NumGoroutine()-before)
		}
		time.Sleep(10 * time.Millisecond) // there is nothing that tells
	}
}

// TestCompromisedDataPlane: with the certificate of r1, whoever has it reads no
// FIB but r1's, calls nothing else on the port, and changes nothing of others by
// whatever he says on r1's stream.
func TestCompromisedDataPlane(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	n, _, _ := start(t, secured(t, ca.Make(certs.Node, "node-1")))
	alice := secureClient(t, ca.Load(certs.Operator, "alice"))
	base := "https://" + n.APIAddr()
	for _, e := range []string{
		`{"events":[{"kind":"router.set","router":"r1"},{"kind":"router.set","router":"r2"},{"kind":"router.set","router":"r3"},{"kind":"link.set","a":"r2","b":"r3","cost_ab":1,"cost_ba":1}]}`,
	} {
		if code, body := ask(t, alice, "POST", base+"/v1/commits", e); code/100 != 2 {
			t.Fatalf("%d %s", code, body)
		}
	}
	honest, err := fibpb.NewFibClient(dialRPC(t, n, ca.Load(certs.DataPlane, "r2").DialRPC(certs.Node))).Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = honest.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{Protocol: 1, Router: "r2", Instance: "i", DigestVersions: []uint32{1}, Credit: 100}}})
	if _, err := honest.Recv(); err != nil {
		t.Fatal(err)
	}
	digest, revision := n.appender.State().Digest(), n.appender.State().Position().Revision

	evil := ca.Load(certs.DataPlane, "r1").DialRPC(certs.Node)
	for _, router := range []string{"r2", "r3", "*", "", "R1", "r1 ", "r1/../r2", "dataplane/r2"} {
		if err := subscribe(t, n, evil, router); status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.InvalidArgument {
			t.Errorf("as %q: %v", router, err)
		}
	}
	conn := dialRPC(t, n, evil)
	for method, want := range map[string]codes.Code{"/dvr.peer.v1.Peer/Announce": codes.PermissionDenied, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": codes.Unimplemented, "/etcdserverpb.KV/Range": codes.Unimplemented} {
		if err := conn.Invoke(within(t, patience), method, &fibpb.Hello{}, &fibpb.Hello{}); status.Code(err) != want && status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
	stream, err := fibpb.NewFibClient(conn).Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	say := func(m *fibpb.DataPlaneMessage) { _ = stream.Send(m) }
	say(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{Protocol: 1, Router: "r1", Instance: "i", DigestVersions: []uint32{1}, Credit: 1 << 31, Takeover: true}}})
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 { // links that r1 has not, next hops of nobody, what was never asked
		say(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Observation{Observation: &fibpb.Observation{What: &fibpb.Observation_Link_{Link: &fibpb.Observation_Link{Interface: fmt.Sprint("eth", i), Up: true}}}}})
		say(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Observation{Observation: &fibpb.Observation{What: &fibpb.Observation_Link_{Link: &fibpb.Observation_Link{Interface: fmt.Sprint("eth", i)}}}}})
		say(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Lookup{Lookup: &fibpb.LookupAnswer{Id: uint64(i)}}})
		say(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Audit{Audit: &fibpb.AuditReport{Id: uint64(i)}}})
	}
	say(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Ack{Ack: &fibpb.Ack{Delta: 1 << 60, Digest: make([]byte, 16)}}})
	for {
		if _, err := stream.Recv(); err != nil {
			break // an ack of what was never sent ends the stream
		}
	}
	if code, body := ask(t, alice, "POST", base+"/v1/commits", `{"events":[{"kind":"router.set","router":"r4"}]}`); code/100 != 2 {
		t.Errorf("a change: %d %s", code, body)
	}
	st := n.appender.State()
	if d, r := st.Digest(), st.Position().Revision; r != revision+1 || d == digest {
		t.Errorf("revision %d became %d: something else was changed", revision, r)
	}
	for _, c := range n.planes.Claims() {
		if c.Router == "r2" && !c.Connected {
			t.Error("r2's data plane was cut")
		}
	}
	if list := n.planes.List(); len(list) > 2 || strings.Contains(fmt.Sprint(list), "r3") {
		t.Errorf("%d data planes are known", len(list))
	}
}
