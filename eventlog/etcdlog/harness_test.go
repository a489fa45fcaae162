package etcdlog

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"dvr/eventlog"
)

// shared is one etcd for all tests that need nothing special of it; each test
// has its own name space in it.
var shared *embed.Etcd

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "etcdlog")
	if err != nil {
		panic(err)
	}
	if shared, err = startEtcd(dir, 0); err != nil {
		panic(err)
	}
	code := m.Run()
	shared.Close()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func startEtcd(dir string, quota int64) (*embed.Etcd, error) {
	cfg := embed.NewConfig()
	cfg.Name = "n1"
	cfg.Dir = dir
	loopback := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	never := url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	cfg.ListenPeerUrls, cfg.ListenClientUrls = []url.URL{loopback}, []url.URL{loopback}
	cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = []url.URL{never}, []url.URL{never}
	cfg.InitialCluster = "n1=" + never.String()
	cfg.QuotaBackendBytes = quota
	cfg.MaxRequestBytes = 2 << 20
	cfg.CompactionSleepInterval = time.Millisecond
	cfg.EnableGRPCGateway = false
	cfg.WatchProgressNotifyInterval = 500 * time.Millisecond
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case <-time.After(2 * time.Minute):
		e.Close()
		return nil, fmt.Errorf("etcd is not ready")
	}
}

// ownEtcd starts an etcd that the test may fill or restart.
func ownEtcd(t testing.TB, dir string, quota int64) *embed.Etcd {
	t.Helper()
	e, err := startEtcd(dir, quota)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e.Server != nil {
			closeEtcd(e)
		}
	})
	return e
}

// closeEtcd closes once: embed panics at the second time.
func closeEtcd(e *embed.Etcd) {
	select {
	case <-e.Server.StopNotify():
	default:
		e.Close()
	}
}

func inProcess(t testing.TB, e *embed.Etcd) *clientv3.Client {
	t.Helper()
	c := v3client.New(e.Server)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func external(t testing.TB, e *embed.Etcd) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Clients[0].Addr().String()}, Logger: zap.NewNop(), DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var spaces atomic.Int64

func newSpace() string { return fmt.Sprintf("t%d:", spaces.Add(1)) }

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// fixture is a log in a name space of the shared etcd, with a hand on its
// faults and on the bare keys.
type fixture struct {
	testing.TB
	ctx       context.Context
	log       *Log
	faults    *faultyKV
	watcher   *faultyWatcher
	raw       *clientv3.Client // another client on the same keys
	space     string
	incidents *incidents
}

func newFixture(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{TB: t, ctx: testContext(t), space: newSpace(), incidents: &incidents{}}
	f.raw = within(inProcess(t, shared), f.space)
	f.log, f.faults, f.watcher = f.open(change...)
	return f
}

// open gives a further handle on the same log.
func (f *fixture) open(change ...func(*Options)) (*Log, *faultyKV, *faultyWatcher) {
	f.Helper()
	c := within(inProcess(f.TB, shared), f.space)
	kv, w := &faultyKV{KV: c.KV}, &faultyWatcher{Watcher: c.Watcher}
	c.KV, c.Watcher = kv, w
	options := Options{Node: "n1", Report: f.incidents.add, CallTimeout: 2 * time.Second, Defragment: shared.Server.Backend().Defrag}
	for _, c := range change {
		c(&options)
	}
	l, err := Open(f.ctx, c, options)
	if err != nil {
		f.Fatal(err)
	}
	return l, kv, w
}

// batch builds a batch of n commits on top of prev.
func batch(t testing.TB, prev eventlog.Head, n int, tag string) (raw []byte, next eventlog.Head) {
	t.Helper()
	b := eventlog.NewBatchBuilder(prev, "n1")
	for i := range n {
		c := &eventlog.Commit{
			ID: fmt.Sprintf("%s-%d-%d", tag, prev.Revision, i), Time: 1_700_000_000_000, Actor: "alice",
			Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: tag}},
		}
		if err := b.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	return b.Finish()
}

// add appends batches of the sizes given and returns the heads, the one
// before first.
func (f *fixture) add(sizes ...int) []eventlog.Head {
	f.Helper()
	head, err := f.log.Head(f.ctx)
	if err != nil {
		f.Fatal(err)
	}
	heads := []eventlog.Head{head}
	for _, n := range sizes {
		raw, next := batch(f.TB, head, n, "add")
		if head, err = f.log.Append(f.ctx, head, next, raw, nil); err != nil {
			f.Fatal(err)
		}
		heads = append(heads, head)
	}
	return heads
}

// revisions reads the log and returns the last revision of each batch.
func revisions(ctx context.Context, l *Log, after eventlog.Revision) ([]eventlog.Revision, error) {
	var got []eventlog.Revision
	next := eventlog.Revision(0)
	err := l.Read(ctx, after, func(b *eventlog.Batch) error {
		if next != 0 && b.First() != next {
			return fmt.Errorf("batch %d…%d follows revision %d", b.First(), b.Last(), next-1)
		}
		next = b.Last() + 1
		got = append(got, b.Last())
		return nil
	})
	return got, err
}

func (f *fixture) mustRevisions(l *Log, after eventlog.Revision) []eventlog.Revision {
	f.Helper()
	got, err := revisions(f.ctx, l, after)
	if err != nil {
		f.Fatal(err)
	}
	return got
}

func lasts(heads []eventlog.Head) []eventlog.Revision {
	var r []eventlog.Revision
	for _, h := range heads {
		r = append(r, h.Revision)
	}
	return r
}

func (f *fixture) put(key, value string) {
	f.Helper()
	if _, err := f.raw.Put(f.ctx, key, value); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) value(key string) (string, bool) {
	f.Helper()
	r, err := f.raw.Get(f.ctx, key)
	if err != nil {
		f.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return "", false
	}
	return string(r.Kvs[0].Value), true
}

func (f *fixture) delete(key string) {
	f.Helper()
	if _, err := f.raw.Delete(f.ctx, key); err != nil {
		f.Fatal(err)
	}
}

// await polls for what other goroutines bring about.
func (f *fixture) await(what string, ok func() bool) {
	f.Helper()
	for !ok() {
		if f.ctx.Err() != nil {
			f.Fatalf("waiting for: %s; incidents: %v", what, f.incidents.all())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// followed collects what a follower delivers.
type followed struct {
	heads chan eventlog.Head
	done  chan error
}

func (f *fixture) follow(l *Log, after eventlog.Head) *followed {
	ctx, cancel := context.WithCancel(f.ctx)
	out := &followed{heads: make(chan eventlog.Head, 100_000), done: make(chan error, 1)}
	go func() {
		out.done <- l.Follow(ctx, after, func(_ *eventlog.Batch, h eventlog.Head) error {
			out.heads <- h
			return nil
		})
	}()
	f.Cleanup(func() { cancel(); <-out.done })
	return out
}

// expect takes the next heads and compares them, guards included.
func (f *fixture) expect(out *followed, want []eventlog.Head) {
	f.Helper()
	for _, w := range want {
		select {
		case got := <-out.heads:
			if got != w {
				f.Fatalf("followed %+v, want %+v", got, w)
			}
		case err := <-out.done:
			out.done <- err
			f.Fatalf("Follow ended before revision %d: %v", w.Revision, err)
		case <-f.ctx.Done():
			f.Fatalf("revision %d is not delivered; incidents: %v", w.Revision, f.incidents.all())
		}
	}
}
