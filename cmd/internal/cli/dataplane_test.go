package cli

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"dvr/controller/fibpb"
)

// ownPlane is a data plane's loopback service that knows 10.1.0.0/16 and ::/0.
type ownPlane struct {
	fibpb.UnimplementedDataPlaneServer
}

func (ownPlane) Lookup(_ context.Context, r *fibpb.LookupRequest) (*fibpb.LookupAnswer, error) {
	at := &fibpb.Position{Revision: 1 << 60}
	switch {
	case len(r.Address) == 16:
		return &fibpb.LookupAnswer{Found: true, Prefix: make([]byte, 16), ClassId: []byte{0xab}, Position: at,
			NextHops: []*fibpb.NextHop{{Type: fibpb.NextHop_BLACKHOLE, Weight: 1}}}, nil
	case r.Address[0] == 10:
		return &fibpb.LookupAnswer{Found: true, Prefix: []byte{10, 1, 0, 0}, Length: 16, ClassId: []byte{0xab}, Position: at,
			NextHops: []*fibpb.NextHop{{Address: []byte{192, 168, 1, 1}, Interface: "eth0", Weight: 3, Via: "r2"}, {Address: []byte{192, 168, 1, 2}, Weight: 1}}}, nil
	}
	return &fibpb.LookupAnswer{}, nil
}

func (ownPlane) GetStats(context.Context, *fibpb.StatsRequest) (*fibpb.Stats, error) {
	return &fibpb.Stats{Router: "r1", Position: &fibpb.Position{Revision: 7}, Prefixes4: 2, SinceMs: 1, Counters: &fibpb.Counters{More: map[string]uint64{"kernel_audits": 12345}}, Sinks: []*fibpb.SinkStatus{
		{Name: "memory", Entries: 2},
		{Name: "kernel", Entries: 1, Failed: 1, Repaired: 3, Deviates: true, Failures: []*fibpb.Failure{{Prefix: "10.0.0.0/8", Reason: "no way"}}},
	}}, nil
}

func (ownPlane) Audit(context.Context, *fibpb.AuditRequest) (*fibpb.AuditReport, error) {
	return &fibpb.AuditReport{Sinks: []*fibpb.SinkAudit{{Name: "kernel", Complete: true, Entries: 1234567, Failed: 1, TookMs: 1500, Differences: []*fibpb.SinkAudit_Difference{{Prefix: "10.0.0.0/8", Cause: "left over", Count: 4000}}}}}, nil
}

func (ownPlane) HealthCheck(context.Context, *fibpb.HealthRequest) (*fibpb.Health, error) {
	return &fibpb.Health{Status: "stale: no controller"}, nil
}

func serveOwnPlane(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	fibpb.RegisterDataPlaneServer(s, ownPlane{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends by Stop
	}()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func TestDataPlaneIsAskedDirectly(t *testing.T) {
	at := serveOwnPlane(t, "tcp", "127.0.0.1:0")
	_, port, _ := strings.Cut(at, ":")
	socket := "unix:" + serveOwnPlane(t, "unix", filepath.Join(t.TempDir(), "s"))
	for _, test := range []struct {
		args string
		want string
		code int
	}{
		{"lookup 10.1.2.3 --at " + at, "destination 10.1.0.0/16\nnext hop 192.168.1.1 dev eth0 via r2 weight 3\nnext hop 192.168.1.2\nclass ab\nanswered by dataplane at revision 1152921504606846976\n", ExitOK},
		{"lookup 2001:db8::1 --at " + socket, "destination ::/0\nnext hop blackhole\nclass ab\nanswered by dataplane at revision 1152921504606846976\n", ExitOK},
		{"lookup 99.0.0.1 --at :" + port, "", ExitNotFound},
		{"audit --at " + port, "SINK COMPARED FAILED TOOK RESULT\nkernel 1,234,567 1 1500 ms differed, set right\n\nDIFFERENCES OF SINK kernel\nROUTES SHORTEST CAUSE\n4,000 10.0.0.0/8 left over\n", ExitOK},
		{"counters --at " + port, "COUNTER VALUE\nbytes 0\nkernel_audits 12,345\nlookups 0\npackets 0\nresident_bytes 0\n", ExitOK},
		{"show --at " + port, "The data plane of r1 needs attention: stale: no controller.\n\nSESSION\ncontroller not connected\nsince 1970-01-01T00:00:00.001Z\ninstance -\n\nTABLE\nrevision 7\nepoch 0\nlog -\nFIB digest -\nprefixes 2 IPv4, 0 IPv6\nclasses 0\nlookups 0\nmemory 0 B resident, of it the lookup engine 0 B\n\nSINKS\nNAME ENTRIES FAILED REPAIRED\nmemory 2 0 0\nkernel 1 1 3\nkernel forwards without a next hop that cannot be used for now.\nkernel could not install 10.0.0.0/8: no way\n", ExitOK},
		{"show -o yaml --at " + port, "classes: 0\nconnected: false\ncontroller: \"\"\ndigest: \"\"\nengine_bytes: 0\nepoch: 0\nhealthy: false\ninstance: \"\"\nlog_id: \"\"\nlookups: 0\nprefixes4: 2\nprefixes6: 0\nresident_bytes: 0\nrevision: 7\nrouter: r1\nsince: \"1970-01-01T00:00:00.001Z\"\nsinks:\n- deviates: false\nentries: 2\nfailed: 0\nfailures: []\nname: memory\nrepaired: 0\n- deviates: true\nentries: 1\nfailed: 1\nfailures:\n- prefix: 10.0.0.0/8\nreason: no way\nname: kernel\nrepaired: 3\nstatus: 'stale: no controller'\n", ExitOK},
	} {
		var out bytes.Buffer
		root := Root(Streams{Out: &out, Err: &out})
		root.SetArgs(append([]string{"--endpoint", "127.0.0.1:1", "dataplane"}, strings.Fields(test.args)...)) // no node is there
		err := root.Execute()
		if ExitCode(err) != test.code || squeeze(out.String()) != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", test.args, err, out.String(), test.want)
		}
	}
}

// What a data plane undid by itself is told below the list.
func TestUndoingsAreListed(t *testing.T) {
	e := &exchange{code: 200, answer: `{"dataplanes":[{"router":"r1","connected":true,"undone":[{"time":"2026-11-22T03:00:00.000Z","revision":17}]},{"router":"r2","connected":true}],"revision":20}`}
	out, err := run(t, e, "dataplane", "list")
	if err != nil || strings.Count(out, "undid unconfirmed commit") != 1 || !strings.Contains(out, "r1 undid unconfirmed commit 17 by itself at 2026-11-22T03:00:00.000Z") {
		t.Errorf("%v\n%s", err, out)
	}
}
