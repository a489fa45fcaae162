package peer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"dvr/controller/peerpb"
	"dvr/controller/service"
)

// TestDirectoryForgetsWhoWent: names that come and go fill no memory, and keep
// nobody out who is there.
func TestDirectoryForgetsWhoWent(t *testing.T) {
	d := NewDirectory(nil, "n1")
	now := time.Unix(1000, 0)
	d.now = func() time.Time { return now }
	put := func(id string) string {
		raw, err := json.Marshal(Node{ID: id, FIB: "192.0.2.1:9190"})
		if err != nil {
			t.Fatal(err)
		}
		return d.put(&mvccpb.KeyValue{Key: []byte(nodesPrefix + id), Value: raw, CreateRevision: 1})
	}
	put("n2")
	for i := range 3 * maxNodes {
		now = now.Add(time.Millisecond)
		id := fmt.Sprint("passer-by-", i)
		if put(id) != id {
			t.Fatalf("%s is kept out by those that went", id)
		}
		d.remove(id)
	}
	if len(d.entries) > maxNodes || put("n3") != "n3" || d.entries["n2"] == nil {
		t.Errorf("%d entries, n2 %v", len(d.entries), d.entries["n2"])
	}
	for i := range 2 * maxNodes {
		put(fmt.Sprint("resident-", i))
	}
	present, _ := d.Nodes()
	if len(present) != maxNodes || d.entries["n2"] == nil || d.entries["n3"] == nil {
		t.Errorf("%d are there", len(present))
	}
}

// TestTenantsAreBounded: so are those whose entries a node puts for them.
func TestTenantsAreBounded(t *testing.T) {
	d := NewDirectory(nil, "n1")
	now := time.Unix(1000, 0)
	d.now = func() time.Time { return now }
	for i := range maxNodes {
		d.tenants[fmt.Sprint(i)] = &tenant{seen: now}
	}
	if err := d.Announce(t.Context(), "one-more", []byte("{}")); !errors.Is(err, service.ErrOverloaded) {
		t.Errorf("%v", err)
	}
	if len(d.tenants) != maxNodes {
		t.Errorf("%d are kept", len(d.tenants))
	}
}

// TestKnownNodesAreBounded: of nodes that went addresses are kept, not for ever.
func TestKnownNodesAreBounded(t *testing.T) {
	x := newCluster(t, 1).node("n1").exchange
	for i := range 4 * maxNodes {
		if err := x.SetNodes([]Node{{ID: fmt.Sprint("passer-by-", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(x.nodes); n > 2*maxNodes {
		t.Errorf("%d nodes are kept", n)
	}
}

// TestPartialRecordsAreBounded: what callers begin to send and do not end takes
// bounded memory, all together, and what is given up is free again.
func TestPartialRecordsAreBounded(t *testing.T) {
	var all atomic.Int64
	nothing := func([]byte) error { return nil }
	begin := binary.AppendUvarint(nil, maxRecord)
	var list []*records
	var err error
	for err == nil && len(list) < 100 {
		r := &records{all: &all}
		list = append(list, r)
		if err = r.feed(begin, nothing); err == nil {
			err = r.feed(make([]byte, maxRecord/2), nothing)
		}
	}
	if status.Code(err) != codes.ResourceExhausted || len(list) < 4 || all.Load() > maxPartial {
		t.Errorf("%v after %d, %d bytes", err, len(list), all.Load())
	}
	for _, r := range list {
		r.end()
	}
	if all.Load() != 0 {
		t.Errorf("%d bytes stay counted", all.Load())
	}
	// A large record that is complete leaves no room behind it.
	r := &records{all: &all}
	large := append(binary.AppendUvarint(nil, 8<<20), make([]byte, 8<<20)...)
	for _, piece := range [][]byte{large[:len(large)/2], append(large[len(large)/2:], 200)} {
		if err := r.feed(piece, nothing); err != nil {
			t.Fatal(err)
		}
	}
	if all.Load() > 1<<10 {
		t.Errorf("%d bytes for a byte", all.Load())
	}
}

// TestSilentLinksAreCut: whoever opens a link and does not say who it is.
func TestSilentLinksAreCut(t *testing.T) {
	n := newCluster(t, 1).node("n1")
	conn, err := grpc.NewClient("passthrough:///"+n.listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := peerpb.NewPeerClient(conn).Link(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != errDeaf.Error() {
		t.Errorf("%v", err)
	}
}

// TestLinksAreBounded: however many callers come.
func TestLinksAreBounded(t *testing.T) {
	l := callers{list: map[*caller]struct{}{}}
	for range maxCallers {
		if err := l.enter(&caller{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.enter(&caller{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
	l.ended = true
	if err := l.enter(&caller{}); !errors.Is(err, errEnding) {
		t.Errorf("%v", err)
	}
}
