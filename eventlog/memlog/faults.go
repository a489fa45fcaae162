package memlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"dvr/eventlog"
)

// Faults makes one handle misbehave. The zero value is a log in good health.
// Every method may be called at any time from any goroutine.
type Faults struct {
	mu          sync.Mutex
	downErr     error
	refusals    []error
	lostAnswers []chan struct{}
	lostReqs    []chan struct{}
	before      func(context.Context) error
	appendGate  chan struct{}
	followGate  chan struct{}
	followErr   error
	cutting     chan struct{}
}

// Faults are the faults of this handle.
func (l *Log) Faults() *Faults { return &l.faults }

// plan is what befalls one append.
type plan struct {
	request <-chan struct{} // the request is lost until closed
	answer  <-chan struct{} // the answer is lost until closed
}

// Down makes every operation fail with err (say eventlog.ErrUnavailable) until
// it is called with nil. Follows that wait are ended too.
func (f *Faults) Down(err error) {
	f.mu.Lock()
	f.downErr = err
	f.mu.Unlock()
	f.CutFollows()
}

func (f *Faults) down() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.downErr
}

// RefuseAppends makes the next n appends fail with err (say eventlog.ErrNoSpace),
// nothing stored.
func (f *Faults) RefuseAppends(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.refusals = append(f.refusals, err)
	}
}

// LoseAnswers makes the next n appends store their batch but not hear of it:
// they return ErrOutcomeUnknown when their context ends, or the truth once
// resolve is called.
func (f *Faults) LoseAnswers(n int) (resolve func()) { return f.lose(&f.lostAnswers, n) }

// LoseRequests is LoseAnswers with nothing stored before resolve, after which
// the append is tried again: another batch may have won.
func (f *Faults) LoseRequests(n int) (resolve func()) { return f.lose(&f.lostReqs, n) }

func (f *Faults) lose(list *[]chan struct{}, n int) func() {
	c := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		*list = append(*list, c)
	}
	return sync.OnceFunc(func() { close(c) })
}

// HoldAppends makes appends wait before anything is stored until release is called.
func (f *Faults) HoldAppends() (release func()) { return f.hold(&f.appendGate) }

// HoldFollows makes followers wait before they look for the next batches.
func (f *Faults) HoldFollows() (release func()) {
	release = f.hold(&f.followGate)
	f.CutFollows()
	return release
}

func (f *Faults) hold(gate *chan struct{}) func() {
	c := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	*gate = c
	return sync.OnceFunc(func() {
		f.mu.Lock()
		if *gate == c {
			*gate = nil
		}
		f.mu.Unlock()
		close(c)
	})
}

// BeforeAppend calls hook before each append is stored, to delay it, to count
// or, with an error, to refuse it. nil removes the hook.
func (f *Faults) BeforeAppend(hook func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = hook
}

// CutFollows breaks the streams that feed followers. As the contract asks they
// heal inside: nothing is lost or repeated.
func (f *Faults) CutFollows() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cutting != nil {
		close(f.cutting)
		f.cutting = nil
	}
}

// FailFollows ends the follows that are under way and, until it is called with
// nil, all new ones with err.
func (f *Faults) FailFollows(err error) {
	f.mu.Lock()
	f.followErr = err
	f.mu.Unlock()
	f.CutFollows()
}

func (f *Faults) cut() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cutting == nil {
		f.cutting = make(chan struct{})
	}
	return f.cutting
}

// beforeAppend waits where appends are held and takes the next planned faults.
func (f *Faults) beforeAppend(ctx context.Context) (p plan, err error) {
	f.mu.Lock()
	gate, hook := f.appendGate, f.before
	f.mu.Unlock()
	if gate != nil {
		if err := wait(ctx, gate); err != nil {
			return p, fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, err)
		}
	}
	if hook != nil {
		if err := hook(ctx); err != nil {
			return p, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.downErr != nil {
		return p, f.downErr
	}
	if len(f.refusals) > 0 {
		err, f.refusals = f.refusals[0], f.refusals[1:]
		return p, err
	}
	take := func(list *[]chan struct{}) (c chan struct{}) {
		if len(*list) > 0 {
			c, *list = (*list)[0], (*list)[1:]
		}
		return c
	}
	return plan{request: take(&f.lostReqs), answer: take(&f.lostAnswers)}, nil
}

func (f *Faults) beforeFollow(ctx context.Context) error {
	f.mu.Lock()
	gate, err := f.followGate, f.followErr
	f.mu.Unlock()
	if err != nil || gate == nil {
		return err
	}
	return wait(ctx, gate)
}

// DamageBatch flips one bit in the stored batch that holds rev.
func (l *Log) DamageBatch(rev eventlog.Revision) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	for i, st := range l.s.batches {
		if st.first <= rev && rev <= st.head.Revision {
			raw := bytes.Clone(st.raw)
			raw[len(raw)-3] ^= 1
			l.s.batches = slices.Clone(l.s.batches)
			l.s.batches[i].raw = raw
			return nil
		}
	}
	return fmt.Errorf("damage revision %d: %w", rev, eventlog.ErrNotFound)
}

// DamageSnapshot flips one bit in a stored snapshot.
func (l *Log) DamageSnapshot(info eventlog.SnapshotInfo) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	i := l.s.find(info)
	if i < 0 || len(l.s.snaps[i].data) == 0 {
		return fmt.Errorf("damage snapshot: %w", eventlog.ErrNotFound)
	}
	data := bytes.Clone(l.s.snaps[i].data)
	data[len(data)/2] ^= 1
	l.s.snaps[i].data = data
	return nil
}

// LoseStagePart removes the last part of a stage.
func (l *Log) LoseStagePart(id string) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	st := l.s.stages[id]
	if st == nil || len(st.parts) == 0 {
		return fmt.Errorf("lose a part of stage %s: %w", id, eventlog.ErrNotFound)
	}
	lost := *st
	lost.parts = st.parts[:len(st.parts)-1]
	l.s.stages[id] = &lost
	return nil
}
