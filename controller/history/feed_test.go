package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/eventlog"
)

// However readers come and go, each sees every commit once, in order.
func TestFeedsMissNothing(t *testing.T) {
	for _, want := range []func(eventlog.Event) bool{nil, func(e eventlog.Event) bool { return e.Kind() == eventlog.KindRouteAnnounced }} {
		w := newWorld(t, 7)
		f := NewFeed(w.log, want)
		type reader struct {
			at    eventlog.Revision
			saw   []string
			since eventlog.Revision
		}
		readers := []*reader{{}}
		for range 300 {
			switch w.rand.IntN(4) {
			case 0:
				w.some(3)
			case 1:
				at := eventlog.Revision(w.rand.IntN(int(w.revision()) + 1))
				readers = append(readers, &reader{at: at, since: at})
			default:
				r := readers[w.rand.IntN(len(readers))]
				upTo := r.at + eventlog.Revision(w.rand.IntN(int(w.revision()-r.at)+1))
				list, to, err := f.After(context.Background(), r.at, upTo)
				if err != nil || to < r.at {
					t.Fatal(to, err)
				}
				for _, c := range list {
					if c.Revision <= r.at || c.Revision > to {
						t.Fatalf("commit %d of (%d, %d]", c.Revision, r.at, to)
					}
					r.saw = append(r.saw, fmt.Sprint(c.Revision, len(c.Events), c.N))
				}
				r.at = to
			}
		}
		for _, r := range readers {
			var all []string
			for _, c := range w.commits[r.since+1 : r.at+1] {
				n := 0
				for _, e := range c.Events {
					if want == nil || want(e) {
						n++
					}
				}
				if want == nil || n > 0 {
					all = append(all, fmt.Sprint(c.Revision, n, len(c.Events)))
				}
			}
			if strings.Join(r.saw, ",") != strings.Join(all, ",") {
				t.Fatalf("from %d to %d saw %v, want %v", r.since, r.at, r.saw, all)
			}
		}
	}
}

func TestFeedsAreBounded(t *testing.T) {
	w := newWorld(t, 8)
	f := NewFeed(w.log, nil)
	value := strings.Repeat("x", eventlog.MaxValue)
	at := w.revision()
	first := at
	for range 3 * feedHold / eventlog.MaxValue {
		w.commit(&eventlog.KeyPut{Key: "k", Value: value})
		for at < w.revision() {
			_, to, err := f.After(context.Background(), at, w.revision())
			if err != nil {
				t.Fatal(err)
			}
			at = to
		}
		held := 0
		for i := range f.commits {
			held += f.commits[i].Bytes()
		}
		if held != f.held || held > feedHold+feedChunk {
			t.Fatalf("%d bytes are held, counted %d", held, f.held)
		}
	}
	if f.from <= first {
		t.Fatal("nothing was forgotten")
	}
	// Who has fallen behind reads for itself, and disturbs nobody.
	from := f.from
	n := 0
	for at := first; at < w.revision(); {
		list, to, err := f.After(context.Background(), at, w.revision())
		if err != nil {
			t.Fatal(err)
		}
		n, at = n+len(list), to
	}
	if n != int(w.revision()-first) || f.from != from {
		t.Errorf("%d commits of %d; the feed begins at %d, before at %d", n, w.revision()-first, f.from, from)
	}
}

// A reader's end, or a log that is away, is that reader's matter.
func TestFeedsFailOneByOne(t *testing.T) {
	w := newWorld(t, 9)
	w.some(20)
	counting := &countingLog{Log: w.log}
	f := NewFeed(counting, nil)
	w.log.Faults().Down(eventlog.ErrUnavailable)
	if _, _, err := f.After(context.Background(), 1, 5); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	w.log.Faults().Down(nil)
	f.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, to, err := f.After(ctx, 1, 5); !errors.Is(err, context.DeadlineExceeded) || to != 1 {
		t.Errorf("%d %v", to, err)
	}
	<-f.turn
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			if list, _, err := f.After(context.Background(), 1, w.revision()); err != nil || len(list) == 0 {
				t.Error(len(list), err)
			}
		}()
	}
	all.Wait()
	if counting.batches > 20 {
		t.Errorf("%d batches were read for 20 readers of one stretch", counting.batches)
	}
}
