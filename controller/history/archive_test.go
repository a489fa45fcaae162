package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Time travel equals replay: whatever was asked before, whichever snapshots
// there are, the state at R has the bytes and the digest of the one that a fold
// of the first R commits froze.
func TestStatesOfThePastEqualReplay(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			a := NewArchive(w.log)
			for round := range 4 {
				w.some(20 + w.rand.IntN(30))
				if w.rand.IntN(2) == 0 {
					w.snapshot(eventlog.Revision(1 + w.rand.IntN(int(w.revision()))))
				}
				if w.rand.IntN(2) == 0 {
					a.Remember(w.states[w.rand.IntN(len(w.states)-1)+1])
				}
				if round == 2 && w.rand.IntN(2) == 0 {
					a.forget()
				}
				for range 12 {
					at := eventlog.Revision(1 + w.rand.IntN(int(w.revision())))
					got, err := a.State(context.Background(), w.now(), at)
					if err != nil {
						t.Fatal(err)
					}
					w.same(got, at)
					to := at + eventlog.Revision(w.rand.IntN(int(w.revision()-at)+1))
					x, y, err := a.Pair(context.Background(), w.now(), at, to)
					if err != nil {
						t.Fatal(err)
					}
					w.same(x, at)
					w.same(y, to)
				}
			}
			for r, s := range w.states[1:] { // nobody touched them
				w.equal(s, w.replay(eventlog.Revision(r+1)))
			}
		})
	}
}

// same holds a state against the one that the log's fold froze at the revision.
func (w *world) same(got *projector.State, at eventlog.Revision) {
	w.t.Helper()
	w.equal(got, w.states[at])
}

// replay folds the log from its beginning.
func (w *world) replay(at eventlog.Revision) *projector.State {
	w.t.Helper()
	f := projector.NewFold(logID)
	for r := eventlog.Revision(1); r <= at; r++ {
		if err := f.Apply(&w.commits[r], w.states[r].Head().Hash); err != nil {
			w.t.Fatal(err)
		}
	}
	return f.State()
}

func (w *world) equal(got, want *projector.State) {
	w.t.Helper()
	at := want.Position().Revision
	if got.Digest() != want.Digest() || saved(w.t, got) != saved(w.t, want) || got.Stats() != want.Stats() {
		w.t.Fatalf("another state at revision %d:\n%s\nwant\n%s", at, saved(w.t, got), saved(w.t, want))
	}
	for _, r := range routers {
		if g, w2 := got.FIB(r, nil).Digest(), want.FIB(r, nil).Digest(); g != w2 {
			w.t.Fatalf("another FIB of %s at revision %d", r, at)
		}
	}
}

// A pair shares what did not change, so that comparing it costs what did.
func TestAPairShares(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 300 {
		w.commit(route("*", fmt.Sprintf("10.%d.%d.0/24", i/100, i%100), "192.0.2.1", 1))
	}
	w.snapshot(100)
	a := NewArchive(w.log)
	x, y, err := a.Pair(context.Background(), w.now(), 150, 152)
	if err != nil {
		t.Fatal(err)
	}
	if d := y.Distance(x, 1000); d != 2 {
		t.Errorf("%d destinations lie apart, want 2", d)
	}
	// Also from a state that passed by, up to the newest.
	a.Remember(w.states[200])
	x, y, err = a.Pair(context.Background(), w.now(), 290, w.revision())
	if err != nil {
		t.Fatal(err)
	}
	if d := y.Distance(x, 1000); y != w.now() || d != int(w.revision()-290) {
		t.Errorf("%d lie apart; the newest: %v", d, y == w.now())
	}
}

// What is asked again, or near, is not folded from the snapshot again.
func TestNearbyStatesAreNear(t *testing.T) {
	w := newWorld(t, 2)
	for range 1000 {
		w.commit(&eventlog.KeyPut{Key: "k", Value: fmt.Sprint(w.revision())})
	}
	counting := &countingLog{Log: w.log}
	a := NewArchive(counting)
	for _, c := range []struct {
		at   eventlog.Revision
		most int // batches that may be read
	}{{900, 902}, {900, 0}, {910, 12}, {905, 0}, {700, 0}, {899, 0}, {912, 2}} {
		before := counting.batches
		got, err := a.State(context.Background(), w.now(), c.at)
		if err != nil || got.Digest() != w.states[c.at].Digest() {
			t.Fatalf("revision %d: %v", c.at, err)
		}
		if read := counting.batches - before; read > c.most {
			t.Errorf("revision %d: %d batches were read, want at most %d", c.at, read, c.most)
		}
	}
	// What passes by is a base, too: nothing is read before it.
	a.forget()
	a.Remember(w.states[950])
	before := counting.batches
	if _, err := a.State(context.Background(), w.now(), 960); err != nil || counting.batches-before > 11 {
		t.Errorf("%d batches behind a state that passed by, %v", counting.batches-before, err)
	}
}

type countingLog struct {
	Log
	batches int
}

func (l *countingLog) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	return l.Log.Read(ctx, after, func(b *eventlog.Batch) error {
		l.batches++
		return fn(b)
	})
}

func TestBeyondWhatIsRetained(t *testing.T) {
	w := newWorld(t, 3)
	w.some(60)
	w.snapshot(10)
	w.snapshot(30)
	if err := w.log.Truncate(context.Background(), 31); err != nil {
		t.Fatal(err)
	}
	low, err := w.log.Low(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if low > 31 || low < 20 {
		t.Fatalf("the log begins at %d", low)
	}
	a := NewArchive(w.log)
	for at := eventlog.Revision(1); at <= w.revision(); at++ {
		got, err := a.State(context.Background(), w.now(), at)
		if at == 10 || at >= 30 {
			if err != nil {
				t.Fatalf("revision %d: %v", at, err)
			}
			w.same(got, at)
			continue
		}
		var gone *GoneError
		if !errors.As(err, &gone) || !errors.Is(err, ErrGone) || gone.Oldest != 30 {
			t.Fatalf("revision %d: %v", at, err)
		}
	}
	// Times: before the log begins, only the snapshot says what was.
	if r, err := a.RevisionAt(context.Background(), w.now(), w.states[30].Time()); err != nil || r < 30 {
		t.Errorf("%d %v", r, err)
	}
	var gone *GoneError
	if _, err := a.RevisionAt(context.Background(), w.now(), w.commits[1].Time); !errors.As(err, &gone) || gone.Oldest < 20 {
		t.Errorf("the time of revision 1: %v", err)
	}
}

func TestTimesLeadToRevisions(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed)
		w.some(150)
		a := NewArchive(w.log)
		last := w.now().Time()
		for range 100 {
			at := epochStart - 5 + w.rand.Int64N(last-epochStart+10)
			want := eventlog.Revision(0)
			for r := range w.commits[1:] {
				if w.commits[r+1].Time <= at {
					want = eventlog.Revision(r + 1)
				}
			}
			got, err := a.RevisionAt(context.Background(), w.now(), at)
			if want == 0 {
				if !errors.Is(err, ErrGone) {
					t.Fatalf("before the beginning: %d %v", got, err)
				}
				continue
			}
			if err != nil || got != want {
				t.Fatalf("seed %d: time %d is revision %d, want %d: %v", seed, at-epochStart, got, want, err)
			}
		}
	}
}

// What a caller's end cuts is gone on with, and a fault of the log leaves
// nothing half folded behind.
func TestInterruptedFoldings(t *testing.T) {
	w := newWorld(t, 4)
	w.some(200)
	cutting := &cuttingLog{Log: w.log, rand: rand.New(rand.NewPCG(9, 9))}
	a := NewArchive(cutting)
	for range 200 {
		at := eventlog.Revision(1 + w.rand.IntN(int(w.revision())))
		ctx, cancel := context.WithCancel(context.Background())
		cutting.cancel = cancel
		got, err := a.State(ctx, w.now(), at)
		cancel()
		switch {
		case err == nil:
			w.same(got, at)
		case !errors.Is(err, ErrBehind) && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrOverloaded):
			t.Fatal(err)
		}
	}
}

// cuttingLog fails reads, or ends their caller's context, now and then.
type cuttingLog struct {
	Log
	rand   *rand.Rand
	cancel func()
}

func (l *cuttingLog) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	return l.Log.Read(ctx, after, func(b *eventlog.Batch) error {
		switch l.rand.IntN(40) {
		case 0:
			l.cancel()
			return ctx.Err()
		case 1:
			return fmt.Errorf("the store: %w", eventlog.ErrUnavailable)
		}
		return fn(b)
	})
}

func TestManyAskAtOnce(t *testing.T) {
	w := newWorld(t, 5)
	w.some(120)
	a := NewArchive(w.log)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go a.Follow(ctx, still{w.now()})
	var all sync.WaitGroup
	for n := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			r := rand.New(rand.NewPCG(uint64(n), 2))
			for range 40 {
				at := eventlog.Revision(1 + r.IntN(int(w.revision())))
				got, err := a.State(ctx, w.now(), at)
				if err != nil || got.Digest() != w.states[at].Digest() {
					t.Errorf("revision %d: %v", at, err)
					return
				}
			}
		}()
	}
	all.Wait()
	if n := len(a.kept); n > maxKept {
		t.Errorf("%d states are kept", n)
	}
	// Who cannot wait for the turn is told so.
	a.turn <- struct{}{}
	short, end := context.WithTimeout(ctx, time.Millisecond)
	defer end()
	a.forget() // does not wait either
	a.kept = nil
	if _, err := a.State(short, w.now(), 7); !errors.Is(err, ErrOverloaded) {
		t.Errorf("%v", err)
	}
}

type still struct{ state *projector.State }

func (s still) State() *projector.State { return s.state }
func (s still) Wait(ctx context.Context, _ eventlog.Revision) error {
	<-ctx.Done()
	return ctx.Err()
}

// What passes by is bounded: by number, by what is held, and nothing is kept
// behind a great change.
func TestWhatPassesByIsBounded(t *testing.T) {
	f := projector.NewFold(logID)
	r := eventlog.Revision(0)
	apply := func(n int, events ...eventlog.Event) {
		for range n {
			r++
			if err := f.Apply(&eventlog.Commit{Revision: r, Time: int64(r), Events: events}, eventlog.Hash{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	a := NewArchive(nil)
	for range 3 * recentMost {
		apply(recentStride, route("*", "10.0.0.0/8", "192.0.2.1", 1))
		a.Remember(f.State())
		apply(1)
		a.Remember(f.State()) // too near
	}
	if n := len(a.recent.list); n != recentMost || a.recent.bytes != (recentMost-1)*changedBytes {
		t.Errorf("%d states of %d bytes are kept", n, a.recent.bytes)
	}
	var many []eventlog.Event
	for i := range recentHold/4/changedBytes + 1 {
		many = append(many, route("*", fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "192.0.2.1", 1))
	}
	apply(1, many...)
	apply(recentStride)
	a.Remember(f.State())
	if n := len(a.recent.list); n != 1 {
		t.Errorf("%d states are kept behind a great change", n)
	}
}
