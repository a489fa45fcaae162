package appender

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

const testLog = "0f0e0d0c-0b0a-4908-8706-050403020100"

// clock is a hand-moved clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newLog() *memlog.Log {
	return memlog.New(testLog, memlog.WithClock(func() int64 { return newClock().Now().UnixMilli() }))
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, log eventlog.Log, o Options) *Appender {
	t.Helper()
	if o.Node == "" {
		o.Node = "node-1"
	}
	a, err := Open(testContext(t), log, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func put(key, value string) []eventlog.Event {
	return []eventlog.Event{&eventlog.KeyPut{Key: key, Value: value}}
}

func route(n int) *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router:      eventlog.AllRouters,
			Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32),
			NextHop:     netip.AddrFrom4([4]byte{192, 168, 0, byte(1 + n%64)}),
			Origin:      eventlog.DefaultOrigin,
		},
		Metric: 100, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

func request(id string, events ...eventlog.Event) Request {
	return Request{ID: id, Actor: "alice", Hash: eventlog.RequestHash{1}, Events: events}
}

func appendOK(t testing.TB, a *Appender, r Request) Result {
	t.Helper()
	if r.Actor == "" {
		r.Actor = "alice"
	}
	res, err := a.Append(testContext(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// replayed folds the whole log from revision 1.
func replayed(t testing.TB, log eventlog.Log) *projector.State {
	t.Helper()
	fold := projector.NewFold(log.ID())
	err := log.Read(testContext(t), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if len(c.Events) == 1 {
				if s, ok := c.Events[0].(*eventlog.CommitStaged); ok {
					events, err := log.Staged(testContext(t), s)
					if err != nil {
						return err
					}
					c.Events = events
				}
			}
			if err := fold.Apply(c, commitHash(b, i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	return fold.State()
}

func saved(t testing.TB, s *projector.State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sameAsLog fails unless a's State is what a replay of its log gives.
func sameAsLog(t testing.TB, a *Appender) {
	t.Helper()
	got, want := a.State(), replayed(t, a.log)
	if got.Head() != want.Head() {
		t.Fatalf("head %+v, the log gives %+v", got.Head(), want.Head())
	}
	if got.Digest() != want.Digest() {
		t.Fatalf("digest %s, the log gives %s", got.Digest(), want.Digest())
	}
	if !bytes.Equal(saved(t, got), saved(t, want)) {
		t.Fatal("the saved forms differ")
	}
}

// commits counts the commits of actor alice by id in the log.
func commitsByID(t testing.TB, log eventlog.Log) map[string]int {
	t.Helper()
	count := map[string]int{}
	err := log.Read(testContext(t), 0, func(b *eventlog.Batch) error {
		for _, c := range b.Commits {
			count[c.ID]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// eventually polls a condition that has no notification.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func id(n int) string { return fmt.Sprintf("id-%d", n) }
