package appender

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

func largeEvents(n int) []eventlog.Event {
	events := make([]eventlog.Event, n)
	for i := range events {
		events[i] = route(i)
	}
	return events
}

// counting counts what is staged.
type counting struct {
	eventlog.Log
	staged int
	fail   error
	begun  func()
}

func (c *counting) Stage(ctx context.Context, id string, events []eventlog.Event) (*eventlog.CommitStaged, error) {
	c.staged++
	if c.begun != nil {
		c.begun()
	}
	s, err := c.Log.Stage(ctx, id, events)
	if c.fail != nil {
		return nil, c.fail
	}
	return s, err
}

// TestLargeCommitsLeaveNothing: a large commit that is answered from the window
// or refused costs no space, however often it is sent.
func TestLargeCommitsLeaveNothing(t *testing.T) {
	mem := newLog()
	log := &counting{Log: mem}
	full := false
	a := open(t, log, Options{Judge: func(*projector.State, *eventlog.Commit) error {
		if full {
			return eventlog.ErrNoSpace
		}
		return nil
	}})
	ctx := testContext(t)
	big := func(id string) Request { return request(id, largeEvents(eventlog.MaxCommitEvents+1)...) }
	expect := func(what string, stages, staged int) {
		t.Helper()
		if mem.Stages() != stages || log.staged != staged {
			t.Fatalf("%s: %d stages are stored, %d were staged; want %d and %d", what, mem.Stages(), log.staged, stages, staged)
		}
	}
	for i := range 5 {
		res := appendOK(t, a, big("one"))
		if res.Revision != 2 || res.Replayed != (i > 0) || res.ID != "one" {
			t.Fatalf("%+v", res)
		}
	}
	expect("replayed", 1, 1)
	p, err := a.Submit(ctx, big("one"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := p.Wait(ctx); err != nil || !res.Replayed || res.Revision != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	other := big("one")
	other.Hash = eventlog.RequestHash{9}
	if _, err := a.Append(ctx, other); !errors.Is(err, ErrIdempotencyMismatch) {
		t.Fatalf("got %v", err)
	}
	full = true
	if _, err := a.Append(ctx, big("two")); !errors.Is(err, eventlog.ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	full = false
	checked := big("three")
	checked.Check = func(*projector.State) error { return ErrPrecondition }
	if _, err := a.Append(ctx, checked); !errors.Is(err, ErrPrecondition) {
		t.Fatalf("got %v", err)
	}
	expect("refused before", 1, 1)
	// What only turns out after the staging is removed again.
	log.begun = func() { full = true }
	if _, err := a.Append(ctx, big("four")); !errors.Is(err, eventlog.ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	expect("refused after", 1, 2)
	full, log.begun, log.fail = false, nil, eventlog.ErrUnavailable
	if _, err := a.Append(ctx, big("five")); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	expect("failed", 1, 3)
	if s := a.Statistics(); s.Queued != 0 || s.QueuedBytes != 0 {
		t.Fatalf("%+v", s)
	}
	log.fail = nil
	if res := appendOK(t, a, big("five")); res.Revision != 3 {
		t.Fatalf("%+v", res)
	}
	expect("stored", 2, 4)
	sameAsLog(t, a)
}

// TestLargeTwins: of two large requests with one id that were both staged, one
// is stored, the other is answered with it, and its stage goes.
func TestLargeTwins(t *testing.T) {
	mem := newLog()
	log := &counting{Log: mem}
	a := open(t, log, Options{})
	ctx := testContext(t)
	log.begun = func() {
		log.begun = nil
		if _, err := a.Append(ctx, request("x", largeEvents(eventlog.MaxCommitEvents+1)...)); err != nil {
			t.Error(err)
		}
	}
	res := appendOK(t, a, request("x", largeEvents(eventlog.MaxCommitEvents+1)...))
	if !res.Replayed || res.Revision != 2 || mem.Stages() != 1 || log.staged != 2 {
		t.Fatalf("%+v, %d stages", res, mem.Stages())
	}
	sameAsLog(t, a)
}

// TestUnknownOutcomeKeepsTheStage: the log may hold the commit.
func TestUnknownOutcomeKeepsTheStage(t *testing.T) {
	mem := newLog()
	a := open(t, mem, Options{})
	resolve := mem.Faults().LoseAnswers(1)
	ctx, cancel := context.WithCancel(testContext(t))
	p, err := a.Submit(ctx, request("x", largeEvents(eventlog.MaxCommitEvents+1)...))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "in flight", func() bool { return p.state.Load() == taken })
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	resolve()
	if res := appendOK(t, a, request("x", largeEvents(eventlog.MaxCommitEvents+1)...)); !res.Replayed {
		t.Fatalf("%+v", res)
	}
	sameAsLog(t, a)
}

// TestErrorsPassAsTheyAre: an id that the caller never chose is not in their text.
func TestErrorsPassAsTheyAre(t *testing.T) {
	a := open(t, newLog(), Options{})
	ctx := testContext(t)
	mine := errors.New("route 10.9.0.0/16: not found")
	r := request("")
	r.Prepare = func(*projector.State) ([]eventlog.Event, error) { return nil, mine }
	res, err := a.Append(ctx, r)
	if err != mine || res.ID == "" {
		t.Fatalf("%+v, %v", res, err)
	}
	appendOK(t, a, request("k1", route(1)))
	other := request("k1", route(2))
	other.Hash = eventlog.RequestHash{2}
	if res, err := a.Append(ctx, other); err != ErrIdempotencyMismatch || res.ID != "k1" {
		t.Fatalf("%+v, %v", res, err)
	}
}

// TestLargeCommitsChangeAnItemOnce: wherever in the commit both of them are.
func TestLargeCommitsChangeAnItemOnce(t *testing.T) {
	a := open(t, newLog(), Options{})
	for _, at := range []int{10, eventlog.MaxCommitEvents - 1} {
		events := append(largeEvents(eventlog.MaxCommitEvents+900), route(at))
		_, err := a.Append(testContext(t), request("x", events...))
		var f *eventlog.FieldError
		if !errors.As(err, &f) || f.Field != fmt.Sprintf("events[%d].destination", len(events)-1) || !strings.Contains(f.Reason, fmt.Sprintf("events[%d];", at)) {
			t.Errorf("%v", err)
		}
	}
	if s := a.Statistics(); s.Queued != 0 || a.State().Position().Revision != 1 {
		t.Errorf("%+v at %d", s, a.State().Position().Revision)
	}
}

// TestConfirmationCountsFromTheCommit: however long a commit waits or is staged, the
// time to confirm it is what was asked for; where it is not, it is refused.
func TestConfirmationCountsFromTheCommit(t *testing.T) {
	c := newClock()
	log := &counting{Log: newLog(), begun: func() { c.advance(10 * time.Second) }}
	a := open(t, log, Options{Now: c.Now})
	const within = 2 * time.Second
	res := appendOK(t, a, confirmable("1", within, largeEvents(eventlog.MaxCommitEvents+1)...))
	pending, ok := a.State().Confirmation(res.Revision)
	if left := time.Duration(pending.Deadline-res.Time) * time.Millisecond; !ok || left < within || left > time.Minute || log.staged != 2 {
		t.Errorf("%v are left to confirm it, staged %d times", left, log.staged)
	}
	if n := log.Log.(*memlog.Log).Stages(); n != 1 {
		t.Errorf("%d stages are stored", n)
	}
	p := &Pending{request: confirmable("2", within, route(1)), deadline: 1}
	p.commit = commitOf(&p.request)
	p.confirm()
	p.commit.Revision, p.commit.Time = 7, 5000
	if err := p.due(); err != nil || p.commit.Revision != 7 || p.commit.Time != 5000 || p.deadline != 7000 || p.commit.Events[1].(*eventlog.ConfirmationOpened).Deadline != 7000 {
		t.Errorf("%v, %d", err, p.deadline)
	}
	p.stage, p.deadline = &eventlog.CommitStaged{}, 6999
	if err := p.due(); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "less than 2s would be left") {
		t.Errorf("%v", err)
	}
}
