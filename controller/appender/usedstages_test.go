package appender

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
)

// mending is a log whose stages can be lost and are remembered.
type mending struct {
	*memlog.Log
	events map[string][]eventlog.Event
	mended map[string]int
}

func newMending() *mending {
	return &mending{Log: newLog(), events: map[string][]eventlog.Event{}, mended: map[string]int{}}
}

func (m *mending) Stage(ctx context.Context, id string, events []eventlog.Event) (*eventlog.CommitStaged, error) {
	m.events[id] = events
	return m.Log.Stage(ctx, id, events)
}

func (m *mending) MendStage(ctx context.Context, s *eventlog.CommitStaged) error {
	if _, err := m.Staged(ctx, s); err == nil {
		return nil
	}
	m.mended[s.ID]++
	events, ok := m.events[s.ID]
	if !ok {
		return fmt.Errorf("gone: %w", eventlog.ErrNotFound)
	}
	_, err := m.Log.Stage(ctx, s.ID, events)
	return err
}

func (m *mending) lose(t testing.TB) (id string) {
	for id = range m.events {
		if err := m.Unstage(testContext(t), id); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// TestStagesAreMended: of a running node by its Keeper, whether the node staged
// it or followed it; and by a start.
func TestStagesAreMended(t *testing.T) {
	log := newMending()
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	other := open(t, log, Options{Now: clock.Now})
	late := appendOK(t, a, request("big", largeEvents(eventlog.MaxCommitEvents+1)...)).Revision
	eventually(t, "the other node has folded it", func() bool { return other.State().Position().Revision >= late })
	for n, node := range []*Appender{a, other, open(t, log, Options{Now: clock.Now})} {
		k := NewKeeper(log, node, &store{}, KeeperOptions{Now: clock.Now})
		takeStep(t, k)
		id := log.lose(t)
		clock.advance(10 * time.Second)
		takeStep(t, k)
		if log.mended[id] != n {
			t.Fatal("mended between two upkeeps")
		}
		clock.advance(time.Minute)
		takeStep(t, k)
		if log.mended[id] != n+1 {
			t.Fatalf("node %d: mended %d times, want %d", n, log.mended[id], n+1)
		}
	}
	id := log.lose(t)
	b := open(t, log, Options{Now: clock.Now})
	if log.mended[id] != 4 || b.State().Digest() != a.State().Digest() {
		t.Errorf("a start: mended %d times", log.mended[id])
	}
	// What the log begins after is nobody's business any more.
	log.lose(t)
	if err := a.MendStages(testContext(t), late+1); err != nil || log.mended[id] != 4 {
		t.Errorf("%v, mended %d times", err, log.mended[id])
	}
	if err := other.MendStages(testContext(t), late); err != nil || log.mended[id] != 5 {
		t.Errorf("%v, mended %d times", err, log.mended[id])
	}
}
