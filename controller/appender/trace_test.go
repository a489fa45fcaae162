package appender

import (
	"context"
	"sync"
	"testing"
	"time"

	"dvr/eventlog"
)

// asking is a Trace that keeps what it is told.
type asking struct {
	mu   sync.Mutex
	told []Stages
}

func (a *asking) Stored(s *Stages) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, *s)
}

func (a *asking) TraceID() string { return "0af7651916cd43dd8448eb211c80319c" }

func (a *asking) list() []Stages {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Stages(nil), a.told...)
}

// Who asks is told of each commit once, before its caller hears of it, with moments
// in their order; of what is refused or replayed nothing is told.
func TestTrace(t *testing.T) {
	a := open(t, newLog(), Options{})
	trace := &asking{}
	traced := func(r Request) Request {
		r.Trace = trace
		return r
	}
	appendOK(t, a, request("untraced", route(1)))
	for i := range 3 {
		got := appendOK(t, a, traced(request(id(i), route(i))))
		told := trace.list()
		if len(told) != i+1 {
			t.Fatalf("told %d times after %d commits", len(told), i+1)
		}
		s := told[i]
		if s.Revision != got.Revision || s.Epoch != got.Epoch || s.Commits != 1 || s.Bytes == 0 {
			t.Errorf("told %+v of %+v", s, got)
		}
		for j, m := range []time.Time{s.Judged, s.Folded, s.Left, s.Landed} {
			if before := []time.Time{s.Queued, s.Judged, s.Folded, s.Left}[j]; before.IsZero() || m.Before(before) {
				t.Errorf("moment %d: %v after %v", j+1, m, before)
			}
		}
	}
	if got := appendOK(t, a, traced(request(id(0), route(0)))); !got.Replayed {
		t.Error("not replayed")
	}
	refused := traced(request("bad", &eventlog.RouteWithdrawn{}))
	if _, err := a.Append(testContext(t), refused); err == nil {
		t.Error("accepted")
	}
	if n := len(trace.list()); n != 3 {
		t.Errorf("told %d times of 3 commits", n)
	}
}

// Of commits of other nodes it is told when they were folded here.
func TestFollowedIsTold(t *testing.T) {
	log := newLog()
	type span struct{ first, last eventlog.Revision }
	told := make(chan span, 16)
	open(t, log, Options{Node: "node-2", OnFollowed: func(epoch uint64, first, last eventlog.Revision, began, ended time.Time) {
		if epoch != 1 || ended.Before(began) {
			t.Errorf("epoch %d, %v to %v", epoch, began, ended)
		}
		told <- span{first, last}
	}})
	a := open(t, log, Options{})
	want := appendOK(t, a, request("x", route(1))).Revision
	for {
		select {
		case r := <-told:
			if r.first <= want && want <= r.last {
				return
			}
		case <-testContext(t).Done():
			t.Fatal("nothing was told")
		}
	}
}

// A request that nobody asks about costs no allocation more, and no look at the clock.
func TestUntracedIsFree(t *testing.T) {
	p := &Pending{request: request("x", route(1))}
	b := &batch{items: []*Pending{p}}
	if n := testing.AllocsPerRun(1000, func() {
		p.arrive()
		p.judged()
		p.folded(b)
		if b.trace(1, time.Time{}) != "" || p.stages != nil || b.traced {
			t.Fatal("something is traced")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTracedCaller(b *testing.B) {
	a := open(b, newLog(), Options{})
	r := request("", route(1))
	r.Trace = &asking{}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Events = []eventlog.Event{route(i)}
		if _, err := a.Append(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}
