package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dvr/eventlog"
)

func (s *suite) firstBatch() {
	h := s.head(s.Log)
	if h.Revision != 1 || h.Epoch != 1 || h.Level != 1 || h.Nonce == (eventlog.Nonce{}) {
		s.Fatalf("a new log's head is %+v", h)
	}
	n := 0
	err := s.Log.Read(s.ctx(), 0, func(b *eventlog.Batch) error {
		n++
		e, ok := b.Commits[0].Events[0].(*eventlog.EpochStarted)
		if !ok || e.LogID != s.Log.ID() || e.Nonce != h.Nonce || e.Cause != eventlog.CauseCreated {
			return fmt.Errorf("the first event is %+v", b.Commits[0].Events[0])
		}
		if b.Commits[0].Actor != eventlog.SystemActor {
			return fmt.Errorf("its actor is %q", b.Commits[0].Actor)
		}
		return nil
	})
	if err != nil || n != 1 {
		s.Fatalf("Read: %d batches, %v", n, err)
	}
	if low, err := s.Log.Low(s.ctx()); err != nil || low != 1 {
		s.Fatalf("Low = %d, %v; want 1", low, err)
	}
	if s.Second.ID() != s.Log.ID() {
		s.Fatal("two handles of one log have different ids")
	}
}

func (s *suite) appendAndRead() {
	heads, raws := s.add(s.Log, 1, 3, 1, 1000)
	if got := s.read(s.Log, 1); !equal(got, raws) {
		s.Fatalf("read %d batches that are not the %d appended", len(got), len(raws))
	}
	if got := s.read(s.Second, 1); !equal(got, raws) {
		s.Fatal("the second handle reads something else")
	}
	if h := s.head(s.Second); h != heads[len(heads)-1] {
		s.Fatalf("the second handle's head is %+v, want %+v", h, heads[len(heads)-1])
	}
	s.whole(s.Log)
}

func (s *suite) readFromEvery() {
	heads, raws := s.add(s.Log, 1, 4, 2, 1)
	for after := eventlog.Revision(1); after <= heads[4].Revision; after++ {
		i := 0
		for i < len(raws) && heads[i+1].Revision <= after {
			i++
		}
		if got := s.read(s.Log, after); !equal(got, raws[i:]) {
			s.Errorf("Read after %d gives %d batches, want %d", after, len(got), len(raws)-i)
		}
	}
}

var errStop = errors.New("enough")

func (s *suite) readStops() {
	s.add(s.Log, 1, 1, 1)
	n := 0
	err := s.Log.Read(s.ctx(), 0, func(*eventlog.Batch) error { n++; return errStop })
	if !errors.Is(err, errStop) || n != 1 {
		s.Fatalf("Read = %v after %d batches, want fn's error after 1", err, n)
	}
}

func (s *suite) oneWinner() {
	for round := range 8 {
		h := s.head(s.Log)
		logs := []eventlog.Log{s.Log, s.Second}
		var errs [2]error
		var wg sync.WaitGroup
		for i, l := range logs {
			wg.Go(func() {
				raw, next := batch(h, fmt.Sprintf("round%d-%d", round, i), 1)
				_, errs[i] = l.Append(s.ctx(), h, next, raw, nil)
			})
		}
		wg.Wait()
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		if errs[winner] != nil || !errors.Is(errs[1-winner], eventlog.ErrHeadMoved) {
			s.Fatalf("two appends on one head: %v and %v; want one success and ErrHeadMoved", errs[0], errs[1])
		}
		ids := s.whole(s.Log)
		for i := range logs {
			want := 0
			if i == winner {
				want = 1
			}
			if n := ids[fmt.Sprintf("round%d-%d/%d", round, i, h.Revision+1)]; n != want {
				s.Fatalf("append %d is stored %d times, want %d", i, n, want)
			}
		}
	}
}

func (s *suite) staleHead() {
	heads, _ := s.add(s.Log, 1, 1)
	for _, old := range heads[:2] {
		raw, next := batch(old, "stale", 2)
		if _, err := s.Second.Append(s.ctx(), old, next, raw, nil); !errors.Is(err, eventlog.ErrHeadMoved) {
			s.Fatalf("append on the head of revision %d: %v, want ErrHeadMoved", old.Revision, err)
		}
	}
	if h := s.head(s.Log); h != heads[2] {
		s.Fatalf("head moved to %+v", h)
	}
	s.whole(s.Log)
}

func (s *suite) wrongPrev() {
	heads, raws := s.add(s.Log, 1)
	h := heads[1]
	refuse := func(what string, prev, next eventlog.Head, raw []byte) {
		s.Helper()
		if _, err := s.Log.Append(s.ctx(), prev, next, raw, nil); err == nil {
			s.Fatalf("%s was accepted", what)
		}
		if got := s.head(s.Log); got != h {
			s.Fatalf("%s moved the head to %+v", what, got)
		}
	}
	other := h
	other.Hash[0] ^= 1
	raw, next := batch(other, "wrong", 1)
	refuse("a batch with another prev hash", h, next, raw)
	gap := h
	gap.Revision++
	raw, next = batch(gap, "wrong", 1)
	refuse("a batch with a gap before it", h, next, raw)
	raw, next = batch(h, "wrong", 2)
	short := next
	short.Revision--
	refuse("a head that is not the batch's end", h, short, raw)
	refuse("bytes that are no batch", h, next, []byte("hello\n"))
	refuse("no bytes", h, next, nil)
	if got := s.read(s.Log, 1); !equal(got, raws) {
		s.Fatal("the log changed")
	}
}

func (s *suite) concurrentAppenders() {
	const each, workers = 12, 4
	var wg sync.WaitGroup
	ctx := s.ctx()
	for w := range workers {
		l := s.Log
		if w%2 == 1 {
			l = s.Second
		}
		wg.Go(func() {
			for i := 0; i < each; {
				h, err := l.Head(ctx)
				if err != nil {
					s.Errorf("Head: %v", err)
					return
				}
				raw, next := batch(h, fmt.Sprintf("w%d.%d", w, i), 1+i%3)
				switch _, err := l.Append(ctx, h, next, raw, nil); {
				case err == nil:
					i++
				case !errors.Is(err, eventlog.ErrHeadMoved):
					s.Errorf("Append: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	ids := s.whole(s.Log)
	want := 1 // the first batch
	for i := range each {
		want += workers * (1 + i%3)
	}
	if len(ids) != want {
		s.Fatalf("%d commits are stored, want %d", len(ids), want)
	}
	for id, n := range ids {
		if n != 1 {
			s.Errorf("commit %s is stored %d times", id, n)
		}
	}
}

type outcome struct {
	head eventlog.Head
	err  error
}

func (s *suite) lostAnswer() {
	s.needs(s.LoseAnswer != nil, "lose an answer")
	heads, _ := s.add(s.Log, 1)
	raw, next := batch(heads[1], "lost", 2)
	heal := s.LoseAnswer()
	done := result(func() outcome {
		h, err := s.Log.Append(s.ctx(), heads[1], next, raw, nil)
		return outcome{h, err}
	})
	s.visible(heads[1])
	heal()
	o := await(s, done, "the outcome of the append")
	if o.err != nil {
		s.Fatalf("Append whose answer was lost: %v, want success", o.err)
	}
	s.sameButGuard(o.head, next)
	if h := s.head(s.Second); h != o.head {
		s.Fatalf("Append returned %+v, the head is %+v", o.head, h)
	}
	s.once("lost")
	s.add(s.Log, 1) // the head returned carries the right guard
}

// visible waits until the second handle sees a batch after h, while the
// appender does not know yet.
func (s *suite) visible(h eventlog.Head) {
	s.Helper()
	if s.Second == s.Log {
		return
	}
	err := s.Second.Follow(s.ctx(), h, func(*eventlog.Batch, eventlog.Head) error { return errStop })
	if !errors.Is(err, errStop) {
		s.Fatalf("Follow of the second handle: %v", err)
	}
}

// once checks that the batch named by is stored exactly once.
func (s *suite) once(by string) {
	s.Helper()
	found := 0
	for id, n := range s.whole(s.Second) {
		if n != 1 {
			s.Fatalf("commit %s is stored %d times", id, n)
		}
		if len(id) > len(by) && id[:len(by)] == by && id[len(by)] == '/' {
			found++
		}
	}
	if found == 0 {
		s.Fatalf("the commits of %q are not stored", by)
	}
}

func (s *suite) lostAnswerContext() {
	s.needs(s.LoseAnswer != nil, "lose an answer")
	heads, _ := s.add(s.Log, 1)
	raw, next := batch(heads[1], "lost", 1)
	heal := s.LoseAnswer()
	defer heal()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := result(func() error {
		_, err := s.Log.Append(ctx, heads[1], next, raw, nil)
		return err
	})
	s.visible(heads[1])
	cancel()
	if err := await(s, done, "the end of the append"); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		s.Fatalf("Append whose context ended: %v, want ErrOutcomeUnknown", err)
	}
}

func (s *suite) lostRequest() {
	s.needs(s.LoseRequest != nil, "lose a request")
	heads, _ := s.add(s.Log, 1)
	raw, next := batch(heads[1], "again", 2)
	heal := s.LoseRequest()
	done := result(func() outcome {
		h, err := s.Log.Append(s.ctx(), heads[1], next, raw, nil)
		return outcome{h, err}
	})
	heal()
	if o := await(s, done, "the outcome of the append"); o.err != nil {
		s.Fatalf("Append whose request was lost: %v, want success after a retry", o.err)
	}
	s.once("again")
}

func (s *suite) lostRequestOtherWins() {
	s.needs(s.LoseRequest != nil && s.Second != s.Log, "lose a request while another handle works")
	heads, _ := s.add(s.Log, 1)
	raw, next := batch(heads[1], "loser", 1)
	heal := s.LoseRequest()
	done := result(func() error {
		_, err := s.Log.Append(s.ctx(), heads[1], next, raw, nil)
		return err
	})
	other, otherNext := batch(heads[1], "winner", 1)
	_, otherErr := s.Second.Append(s.ctx(), heads[1], otherNext, other, nil)
	heal()
	err := await(s, done, "the outcome of the append")
	switch {
	case otherErr == nil && !errors.Is(err, eventlog.ErrHeadMoved):
		s.Fatalf("Append whose request was lost while another won: %v, want ErrHeadMoved", err)
	case otherErr == nil:
		s.once("winner")
	default:
		// the request was lost later than the other came
		if err != nil || !errors.Is(otherErr, eventlog.ErrHeadMoved) {
			s.Fatalf("two appends on one head: %v and %v", err, otherErr)
		}
		s.once("loser")
	}
}

func (s *suite) cancelled() {
	heads, raws := s.add(s.Log, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	raw, next := batch(heads[1], "cancelled", 1)
	if _, err := s.Log.Append(ctx, heads[1], next, raw, nil); err == nil {
		s.Error("Append with an ended context succeeded")
	}
	if _, err := s.Log.Head(ctx); err == nil {
		s.Error("Head with an ended context succeeded")
	}
	if err := s.Log.Read(ctx, 0, func(*eventlog.Batch) error { return nil }); err == nil {
		s.Error("Read with an ended context succeeded")
	}
	if err := s.Log.Follow(ctx, heads[1], func(*eventlog.Batch, eventlog.Head) error { return nil }); !errors.Is(err, context.Canceled) {
		s.Errorf("Follow with an ended context: %v, want context.Canceled", err)
	}
	if got := s.read(s.Log, 1); len(got) < 1 || !equal(got[:1], raws) {
		s.Error("the log is not what it was")
	}
}

func (s *suite) damagedBatch() {
	s.needs(s.DamageBatch != nil, "damage a batch")
	heads, _ := s.add(s.Log, 1, 1, 1)
	s.DamageBatch(heads[2].Revision)
	err := s.Log.Read(s.ctx(), 0, func(b *eventlog.Batch) error {
		if b.Last() >= heads[2].Revision {
			return fmt.Errorf("the damaged revision %d was delivered", b.Last())
		}
		return nil
	})
	if !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrHole) {
		s.Fatalf("Read over a damaged batch: %v, want ErrCorrupt or ErrHole", err)
	}
}
