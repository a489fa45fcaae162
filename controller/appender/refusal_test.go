package appender

import (
	"errors"
	"testing"

	"dvr/projector"
)

// absentKey is a request that puts the key unless the guard key is there.
func absentKey(id, key, guard string) Request {
	r := request(id, put(key, "v")...)
	r.Check = func(s *projector.State) error {
		if _, ok := s.Key(guard); ok {
			return ErrPrecondition
		}
		return nil
	}
	return r
}

func submit(t *testing.T, a *Appender, r Request) *Pending {
	t.Helper()
	p, err := a.Submit(testContext(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRefusalWaitsForWhatItRestsOn: a commit that is not acknowledged is no
// reason to tell anybody, since a read would still show the state before.
func TestRefusalWaitsForWhatItRestsOn(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	release := log.Faults().HoldAppends()
	first := submit(t, a, request("x", put("k", "v")...))
	second := submit(t, a, absentKey("y", "other", "k"))
	other := request("x", put("k", "v")...)
	other.Hash[0]++
	third := submit(t, a, other)
	last := submit(t, a, request("z", put("z", "v")...))
	eventually(t, "all are judged", func() bool { return last.state.Load() == taken })
	for name, p := range map[string]*Pending{"precondition": second, "reused id": third} {
		if len(p.done) > 0 {
			t.Errorf("%s: refused for a commit that is still in flight", name)
		}
	}
	release()
	ctx := testContext(t)
	if _, err := first.Wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := second.Wait(ctx); !errors.Is(err, ErrPrecondition) {
		t.Errorf("precondition: %v", err)
	}
	if _, err := third.Wait(ctx); !errors.Is(err, ErrIdempotencyMismatch) {
		t.Errorf("reused id: %v", err)
	}
	if _, err := last.Wait(ctx); err != nil {
		t.Error(err)
	}
	sameAsLog(t, a)
}

// TestRefusalForWhatNeverCameTrue: where the commit that a refusal rests on is
// itself refused in the end, the request is judged anew and let through.
func TestRefusalForWhatNeverCameTrue(t *testing.T) {
	log := newLog()
	a, b := open(t, log, Options{Node: "a"}), open(t, log.Another(), Options{Node: "b"})
	resolve := log.Faults().LoseRequests(1)
	first := submit(t, a, absentKey("x", "k", "theirs"))
	second := submit(t, a, absentKey("y", "mine", "k"))
	eventually(t, "both are judged", func() bool { return second.state.Load() == taken })
	appendOK(t, b, request("z", put("theirs", "v")...))
	resolve()
	ctx := testContext(t)
	if _, err := first.Wait(ctx); !errors.Is(err, ErrPrecondition) {
		t.Errorf("the first: %v", err)
	}
	if _, err := second.Wait(ctx); err != nil {
		t.Errorf("refused for a commit that never was: %v", err)
	}
	if err := b.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	sameAsLog(t, a)
	sameAsLog(t, b)
}
