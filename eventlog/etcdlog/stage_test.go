package etcdlog

import (
	"errors"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"dvr/eventlog"
)

// TestPartsAreOnTheirWayTogether: as many parts as may be are put at a time, while
// none of them is answered; in the end all are there.
func TestPartsAreOnTheirWayTogether(t *testing.T) {
	f := newFixture(t)
	var mu sync.Mutex
	writes := 0
	full := make(chan struct{})
	f.faults.set(func(write bool) error {
		if !write {
			return nil
		}
		mu.Lock()
		writes++
		wait := writes > 1 && writes <= 1+partsAtATime // the first is the manifest
		if writes == 1+partsAtATime {
			close(full)
		}
		mu.Unlock()
		if wait {
			select {
			case <-full: // with all the others on their way
			case <-f.ctx.Done():
				t.Error("the parts are put one after the other")
			}
		}
		return nil
	}, nil)
	events := manyEvents(20_000)
	s, err := f.log.Stage(f.ctx, "imp.s1", events)
	if err != nil {
		t.Fatal(err)
	}
	if s.Parts <= partsAtATime {
		t.Fatalf("%d parts", s.Parts)
	}
	f.whole("imp.s1", s, len(events))
}

// TestStageWithAPartThatFails: nothing of it is put once Stage has returned, it is
// no stage, and may be begun again.
func TestStageWithAPartThatFails(t *testing.T) {
	f := newFixture(t)
	var mu sync.Mutex
	writes, returned := 0, false
	f.faults.set(func(write bool) error {
		mu.Lock()
		defer mu.Unlock()
		if returned {
			t.Error("a request after Stage has returned")
		}
		if writes++; write && writes == 4 {
			return rpctypes.ErrTooManyRequests // refused, not to be repeated
		}
		return nil
	}, nil)
	events := manyEvents(20_000)
	if _, err := f.log.Stage(f.ctx, "imp.s1", events); !errors.Is(err, rpctypes.ErrTooManyRequests) || !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("a part was refused: %v", err)
	}
	mu.Lock()
	returned = true
	mu.Unlock()
	f.faults.heal()
	s, err := f.log.Stage(f.ctx, "imp.s1", events)
	if err != nil {
		t.Fatal(err)
	}
	f.whole("imp.s1", s, len(events))
	if again, err := f.log.Stage(f.ctx, "imp.s1", events); err != nil || *again != *s {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	var field *eventlog.FieldError
	if _, err := f.log.Stage(f.ctx, "imp.s1", events[1:]); !errors.As(err, &field) || field.Field != "id" {
		t.Errorf("another content: %v", err)
	}
}
