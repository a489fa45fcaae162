package appender

import (
	"context"
	"errors"
	"testing"
	"time"

	"dvr/eventlog"
)

// Nothing is truncated that is not archived: not by age, not for room.
func TestKeeperArchivesFirst(t *testing.T) {
	log := newLog()
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	full := errors.New("the archive is full")
	var failure error
	archived := eventlog.Revision(0)
	k := NewKeeper(log, a, nil, KeeperOptions{Now: clock.Now, Retain: 10 * time.Hour, Archive: func(ctx context.Context, through eventlog.Revision) error {
		low, err := log.Low(ctx)
		if err != nil || low > archived+1 {
			t.Errorf("asked to archive up to %d when the log begins at %d and %d is archived: %v", through, low, archived, err)
		}
		if failure == nil {
			archived = through
		}
		return failure
	}})
	low := func() eventlog.Revision {
		t.Helper()
		r, err := log.Low(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	grow := func() error {
		for i := range 15 {
			clock.advance(time.Hour)
			appendOK(t, a, request("", route(i)))
			if err := k.Snapshot(testContext(t)); err != nil {
				return err
			}
		}
		return nil
	}
	failure = full
	if err := grow(); !errors.Is(err, full) {
		t.Errorf("what could not be archived is no error: %v", err)
	}
	if err := k.Free(testContext(t)); !errors.Is(err, full) {
		t.Errorf("for room: %v", err)
	}
	if r := low(); r != 1 {
		t.Fatalf("truncated to %d", r)
	}
	failure = nil
	if err := grow(); err != nil {
		t.Fatal(err)
	}
	if r := low(); r < 5 || r != archived+1 {
		t.Errorf("the log begins at %d, %d is archived", r, archived)
	}
	if err := k.Free(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if r := low(); r != archived+1 {
		t.Errorf("the log begins at %d, %d is archived", r, archived)
	}
}
