package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"dvr/eventlog"
)

// importBody is as many lines as one commit takes, all about the same routes.
func importBody(round int) string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `{"destination":"10.%d.%d.0/24","next_hop":"192.168.%d.1","metric":%d,"tags":["%s"]}`+"\n", i/250, i%250, round%250, round, strings.Repeat("t", 60))
	}
	return b.String()
}

func importRoutes(t *testing.T, n *Node, round int) int {
	t.Helper()
	resp, err := http.Post("http://"+n.APIAddr()+"/v1/routes/import?timeout=5s", "application/x-ndjson", strings.NewReader(importBody(round)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestFullStoreRecovers: a node fills the small quota of its etcd until writes
// are refused; what else lies in etcd takes the rest, so that etcd's own alarm is
// raised and nothing can be put. The node makes room by itself, writes come
// back, and nothing that was acknowledged is lost.
func TestFullStoreRecovers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := load(t, environment(t, t.TempDir())...)
	s.EtcdQuota = 16 << 20
	var logs output
	n, err := Start(ctx, s, Options{Version: "test", Logs: &logs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })

	round := 0
	for importRoutes(t, n, round) == 200 {
		if round++; round > 1000 {
			t.Fatal("16 MiB hold everything")
		}
	}
	if round < 20 {
		t.Fatalf("refused after %d imports", round)
	}
	n.pressure.making.Store(true) // no recovery comes in between
	for i := range 200 {          // somebody else's keys, past every check of the node
		// etcd counts what it has flushed, 10 times a second: faster puts would pass its quota.
		time.Sleep(110 * time.Millisecond)
		if _, err = n.client.Put(ctx, fmt.Sprint("/elsewhere/", i), strings.Repeat("x", 100<<10)); err != nil {
			break
		}
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatalf("etcd is not full: %v", err)
	}
	full, err := n.store.StoreStatus(ctx)
	if err != nil || !full[0].NoSpace {
		t.Fatalf("etcd raised no alarm: %+v, %v", full, err)
	}
	n.pressure.making.Store(false)
	// A first attempt may free little more than the alarm needs; what is written
	// then leads to the next.
	after := full
	for code := 0; code != 200 || after[0].NoSpace || after[0].Size > full[0].Size*2/3; code = importRoutes(t, n, round) {
		if ctx.Err() != nil {
			t.Fatalf("writes do not come back (the last: %d), or not with room: %+v; before %+v\n%s", code, after, full, logs.String())
		}
		time.Sleep(20 * time.Millisecond) // polls the node, which has its own pace
		if after, err = n.store.StoreStatus(ctx); err != nil {
			t.Fatal(err)
		}
	}
	digest := n.appender.State().Digest()
	head := n.appender.Head()
	stop(t, n)
	again, err := Start(ctx, s, Options{Version: "test", Logs: &logs})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := again.appender.State(); got.Digest() != digest || again.appender.Head().Hash != head.Hash {
		t.Errorf("after a restart revision %d, digest %s; before %d, %s", got.Position().Revision, got.Digest(), head.Revision, digest)
	}
}

// TestPressureCountsBetweenReadings: a writer that is faster than the poll is
// stopped before the quota.
func TestPressureCountsBetweenReadings(t *testing.T) {
	logged := int64(5000)
	p := &pressure{log: zap.NewNop(), now: time.Now, volume: func() int64 { return logged }, recover: func(context.Context) error { return nil }}
	p.observe(t.Context(), reading(500, 500))
	for more, refused := range map[int64]bool{0: false, 399: false, 400: true, 1000: true} {
		logged = 5000 + more
		if err := p.judge(nil, nil); errors.Is(err, eventlog.ErrNoSpace) != refused {
			t.Errorf("%d more: %v", more, err)
		}
	}
	p.observe(t.Context(), reading(700, 700)) // it was less than was feared
	if err := p.judge(nil, nil); err != nil {
		t.Error(err)
	}
}

// TestOneRecoveryAtATime and nothing is logged meanwhile.
func TestOneRecoveryAtATime(t *testing.T) {
	p := &pressure{log: zap.NewNop(), now: time.Now}
	err := p.makeRoom(func() error {
		if err := p.judge(nil, nil); !errors.Is(err, eventlog.ErrNoSpace) {
			t.Errorf("judged %v", err)
		}
		return p.makeRoom(func() error { t.Error("a second one"); return nil })
	})
	if !errors.Is(err, errMakingRoom) {
		t.Errorf("%v", err)
	}
	if err := p.judge(nil, nil); err != nil {
		t.Errorf("afterwards %v", err)
	}
}
