package memlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"dvr/eventlog"
	"dvr/eventlog/logtest"
	"dvr/eventlog/memlog"
)

const logID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"

func TestConformance(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Harness {
		l := memlog.New(logID)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		// struck makes a heal wait until an append has begun.
		struck := func(heal func()) func() {
			begun := make(chan struct{}, 16)
			l.Faults().BeforeAppend(func(context.Context) error { begun <- struct{}{}; return nil })
			return func() { <-begun; heal() }
		}
		return logtest.Harness{
			Log: l, Second: l.Another(),
			LoseAnswer:     func() func() { return l.Faults().LoseAnswers(1) },
			LoseRequest:    func() func() { return struck(l.Faults().LoseRequests(1)) },
			CutFollows:     l.Faults().CutFollows,
			DamageSnapshot: func(i eventlog.SnapshotInfo) { must(l.DamageSnapshot(i)) },
			LoseStagePart:  func(id string) { must(l.LoseStagePart(id)) },
			DamageBatch:    func(r eventlog.Revision) { must(l.DamageBatch(r)) },
			Compact:        func() {}, // memory keeps no history to lose
		}
	})
}

// one builds a batch of one commit on prev.
func one(t testing.TB, prev eventlog.Head, id string) ([]byte, eventlog.Head) {
	t.Helper()
	b := eventlog.NewBatchBuilder(prev, "node-1")
	c := eventlog.Commit{ID: id, Time: 4102444800000 + int64(prev.Revision), Actor: "test", Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: id}}}
	if err := b.Add(&c); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	return bytes.Clone(raw), next
}

func head(t testing.TB, l *memlog.Log) eventlog.Head {
	t.Helper()
	h, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRefusals(t *testing.T) {
	l := memlog.New(logID)
	h := head(t, l)
	raw, next := one(t, h, "x")
	l.Faults().RefuseAppends(1, eventlog.ErrNoSpace)
	l.Faults().RefuseAppends(1, eventlog.ErrUnavailable)
	for _, want := range []error{eventlog.ErrNoSpace, eventlog.ErrUnavailable, nil} {
		if _, err := l.Append(t.Context(), h, next, raw, nil); !errors.Is(err, want) {
			t.Fatalf("Append: %v, want %v", err, want)
		}
	}
	if got := head(t, l); got.Revision != 2 {
		t.Fatalf("head %d, want 2", got.Revision)
	}
}

func TestDown(t *testing.T) {
	l := memlog.New(logID)
	h := head(t, l)
	waiting := make(chan error, 1)
	go func() {
		waiting <- l.Follow(context.Background(), h, func(*eventlog.Batch, eventlog.Head) error { return nil })
	}()
	l.Faults().Down(eventlog.ErrUnavailable)
	if err := <-waiting; !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("Follow: %v", err)
	}
	raw, next := one(t, h, "x")
	if _, err := l.Append(t.Context(), h, next, raw, nil); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("Append: %v", err)
	}
	if _, err := l.Head(t.Context()); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("Head: %v", err)
	}
	if _, err := l.Another().Head(t.Context()); err != nil {
		t.Fatalf("the other handle suffers too: %v", err)
	}
	l.Faults().Down(nil)
	if _, err := l.Append(t.Context(), h, next, raw, nil); err != nil {
		t.Fatal(err)
	}
}

func TestHoldAppends(t *testing.T) {
	l := memlog.New(logID)
	h := head(t, l)
	release := l.Faults().HoldAppends()
	raw, next := one(t, h, "held")
	done := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), h, next, raw, nil)
		done <- err
	}()
	other, otherNext := one(t, h, "other")
	if _, err := l.Another().Append(t.Context(), h, otherNext, other, nil); err != nil {
		t.Fatal(err)
	}
	release()
	release() // twice is once
	if err := <-done; !errors.Is(err, eventlog.ErrHeadMoved) {
		t.Fatalf("the held append: %v, want ErrHeadMoved", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Faults().HoldAppends()
	cancel()
	if _, err := l.Append(ctx, h, next, raw, nil); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("a held append whose context ends: %v", err)
	}
}

func TestFailFollows(t *testing.T) {
	l := memlog.New(logID)
	broken := errors.New("broken")
	l.Faults().FailFollows(broken)
	h := head(t, l)
	if err := l.Follow(t.Context(), h, nil); !errors.Is(err, broken) {
		t.Fatalf("Follow: %v", err)
	}
	l.Faults().FailFollows(nil)
	release := l.Faults().HoldFollows()
	raw, next := one(t, h, "x")
	if _, err := l.Append(t.Context(), h, next, raw, nil); err != nil {
		t.Fatal(err)
	}
	got, stop := make(chan eventlog.Revision, 1), errors.New("stop")
	go l.Follow(context.Background(), h, func(b *eventlog.Batch, _ eventlog.Head) error { got <- b.Last(); return stop })
	select {
	case r := <-got:
		t.Fatalf("a held follower got revision %d", r)
	default:
	}
	release()
	if r := <-got; r != 2 {
		t.Fatalf("revision %d, want 2", r)
	}
}

// TestRawIsCopied: the appender may reuse its buffer at once.
func TestRawIsCopied(t *testing.T) {
	l := memlog.New(logID)
	h := head(t, l)
	raw, next := one(t, h, "x")
	if _, err := l.Append(t.Context(), h, next, raw, nil); err != nil {
		t.Fatal(err)
	}
	clear(raw)
	err := l.Read(t.Context(), 1, func(b *eventlog.Batch) error {
		if id := b.Commits[0].ID; id != "x" {
			return fmt.Errorf("id %q", id)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	l := memlog.New(logID, memlog.WithClock(func() int64 { return 1000 }), memlog.WithNonce(eventlog.Nonce{5}))
	if h := head(t, l); h.Nonce != (eventlog.Nonce{5}) {
		t.Fatalf("nonce %x", h.Nonce)
	}
	err := l.Read(t.Context(), 0, func(b *eventlog.Batch) error {
		if ms := b.Commits[0].Time; ms != 1000 {
			return fmt.Errorf("time %d", ms)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("New accepts a log id with a slash")
		}
	}()
	memlog.New("a/b")
}
