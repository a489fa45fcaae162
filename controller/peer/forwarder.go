package peer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dvr/controller/appender"
	"dvr/controller/service"
	"dvr/controller/tracing"
	"dvr/eventlog"
)

// Bounds of what a node has forwarded and not heard of.
const (
	maxCalls     = 32 << 10
	maxCallBytes = 64 << 20
)

const (
	minPause = 10 * time.Millisecond
	maxPause = 500 * time.Millisecond
	look     = 200 * time.Millisecond
	// interregnum is how long calls wait where nobody leads any more: a leader
	// that hands over is followed within it, an election takes longer.
	interregnum = 300 * time.Millisecond
)

// forwarder is the Appender of a node of several: what the node is asked to
// append goes to the one that leads, itself or another, in the order in which
// it came. What was lost track of is sent again under its id until its caller
// gives up, to whoever leads then.
//
// Invariant, under mu: where there is a target and no stall, every call in the
// table was given to it.
type forwarder struct {
	service.LocalAppender
	local service.Outlets // the same
	x     *Exchange

	here atomic.Bool // the node itself leads and nothing forwarded is left: no detour

	mu      sync.Mutex
	table   map[uint64]*call
	bytes   int64
	last    uint64 // number of the newest call
	target  target
	round   uint64
	leading bool // someone leads, or did a moment ago
	beyond  bool // and was out of reach for too long
	stalled bool // a call was turned away: nothing is given until the next round
	closed  bool
	again   chan struct{} // wakes run when stalled is set
}

// target is where calls go.
type target interface {
	// give passes k on; the forwarder's lock is held. again: it was sent before.
	give(f *forwarder, k *call, again bool)
}

func newForwarder(x *Exchange, local service.Outlets) *forwarder {
	return &forwarder{LocalAppender: local, local: local, x: x, table: map[uint64]*call{}, again: make(chan struct{}, 1)}
}

// Append implements service.Appender. Cost of a forwarded one: a few
// microseconds here and as much at the other node, beside the append itself.
func (f *forwarder) Append(ctx context.Context, c service.Change) (service.Appended, error) {
	if f.x.options.Trace.On() {
		return f.traced(ctx, c)
	}
	return f.append(ctx, c)
}

// traced is append with its spans, where ctx carries one.
func (f *forwarder) traced(ctx context.Context, c service.Change) (service.Appended, error) {
	span := tracing.FromContext(ctx)
	if f.here.Load() {
		c.Trace = span.Append()
		return f.append(ctx, c)
	}
	forward := span.Child("forward to the leader")
	c.Traceparent = forward.Traceparent()
	out, err := f.append(ctx, c)
	forward.End(err)
	if err == nil {
		span.Commits(out.Position.Epoch, out.Position.Revision, out.Position.Revision)
	}
	return out, err
}

func (f *forwarder) append(ctx context.Context, c service.Change) (service.Appended, error) {
	if f.here.Load() {
		out, err := f.LocalAppender.Append(ctx, c)
		if err != nil {
			err = f.x.named(err)
		}
		return out, err
	}
	k, err := f.enter(&c)
	if err != nil {
		return service.Appended{ID: c.ID}, err
	}
	return f.wait(ctx, k)
}

// Submit implements service.Appender.
func (f *forwarder) Submit(c service.Change) (service.Submitted, error) {
	if f.here.Load() {
		if s, ok, err := f.submitHere(c); ok {
			return s, err
		}
	}
	k, err := f.enter(&c)
	if err != nil {
		return nil, err
	}
	return &forwarded{f, k}, nil
}

// submitHere submits to this node's appender; false: it no longer leads. The
// change is in the table too, so that it keeps its place before those behind it
// if another node leads before it is stored.
func (f *forwarder) submitHere(c service.Change) (service.Submitted, bool, error) {
	f.mu.Lock()
	if f.target != target(here{}) || f.closed || c.ID == "" {
		f.mu.Unlock()
		return nil, false, nil
	}
	k := newCall(c)
	k.given, k.sent, k.at = true, true, here{}
	k.floor = uint64(f.State().Position().Revision) + 1
	f.list(k)
	number, round := k.number, f.round
	f.x.owned.Add(1) // under mu and before end, so before anyone waits
	f.mu.Unlock()
	submitted, err := f.LocalAppender.Submit(c)
	if err != nil {
		defer f.x.owned.Done()
		f.mu.Lock()
		mine := f.round == round && f.take(number) != nil
		f.mu.Unlock()
		if mine {
			k.free()
			return nil, true, err
		}
		return &forwarded{f, k}, true, nil // it was given to another node meanwhile
	}
	go func() {
		defer f.x.owned.Done()
		out, err := submitted.Wait(f.x.ctx)
		f.conclude(round, answerOf(number, out, err))
	}()
	return &forwarded{f, k}, true, nil
}

// Unled implements service.Unled.
func (f *forwarder) Unled() (since time.Time, why error) { return f.x.unled() }

// list puts k into the table. The caller holds mu.
func (f *forwarder) list(k *call) {
	f.last++
	k.number = f.last
	k.size = int64(len(k.record))
	f.table[k.number] = k
	f.bytes += k.size
}

type forwarded struct {
	f *forwarder
	k *call
}

func (s *forwarded) Wait(ctx context.Context) (service.Appended, error) { return s.f.wait(ctx, s.k) }

// enter puts a change, which gets an id where it has none, into the table and
// on its way.
func (f *forwarder) enter(c *service.Change) (*call, error) {
	if c.ID == "" {
		c.ID, c.Generated = appender.NewID(time.Now()), true
	}
	if err := f.Fault(); errors.Is(err, eventlog.ErrLevel) {
		// It could be stored, and this node could never tell what became of it.
		return nil, fmt.Errorf("%w: %w", service.ErrUnavailable, err)
	}
	if err := f.x.options.Ready(); err != nil {
		return nil, f.x.unavailable(err)
	}
	if err := service.CheckChange(c); err != nil {
		return nil, err
	}
	k := newCall(*c)
	fail := func(err error) (*call, error) {
		k.free()
		return nil, err
	}
	var err error
	if k.record, err = service.AppendChange(k.record, c); err != nil {
		return fail(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return fail(fmt.Errorf("%w: the node is stopping", service.ErrUnavailable))
	case f.refuses():
		return fail(f.x.unavailable(nil))
	case len(f.table) >= maxCalls, f.bytes+int64(len(k.record)) > maxCallBytes && len(f.table) > 0:
		return fail(fmt.Errorf("%w: too many requests wait for the node that leads", service.ErrOverloaded))
	}
	f.list(k)
	if f.target != nil && !f.stalled {
		f.give(k)
	}
	return k, nil
}

// take removes a call from the table; nil: it is settled or given up. The
// caller holds mu.
func (f *forwarder) take(number uint64) *call {
	k := f.table[number]
	if k != nil {
		delete(f.table, number)
		f.bytes -= k.size
	}
	return k
}

// wait returns what became of k, or gives it up when ctx ends.
func (f *forwarder) wait(ctx context.Context, k *call) (service.Appended, error) {
	select {
	case <-k.done:
	case <-ctx.Done():
		f.mu.Lock()
		mine := f.take(k.number) != nil
		f.mu.Unlock()
		if mine {
			cause := context.Cause(ctx)
			k.err = fmt.Errorf("%w: given up before it was sent; nothing was stored: %w", service.ErrUnavailable, cause)
			if k.sent {
				k.err = fmt.Errorf("%w: %w", service.ErrOutcomeUnknown, cause)
			} else if leader, ok := f.x.options.Leadership.Leader(); ok {
				k.err = fmt.Errorf("%w; node %s, which leads, cannot be reached", k.err, f.x.place(leader))
				k.err = &service.UnledError{Err: k.err, Node: leader, API: f.x.api(leader), Leads: true}
			}
		} else {
			<-k.done // it is being settled at this moment
		}
	}
	out, err := k.out, k.err
	if err != nil {
		err = f.x.named(err)
	}
	out.ID = k.change.ID
	k.free()
	return out, err
}

// judge turns an answer into k's outcome; false: k stays and is given once more.
// The caller holds mu and settles after it has let go.
func (f *forwarder) judge(k *call, a *answer) bool {
	switch a.verdict {
	case stored:
		p := f.State().Position()
		p.Epoch, p.Revision = a.epoch, a.revision
		// After an attempt that was lost track of nobody can tell whether that one
		// or an earlier call stored it; that it was this call's is the rule.
		k.out, k.err = service.Appended{Position: p, Replayed: a.replayed && !k.doubt, NoChange: a.noChange, Remembered: a.remembered}, nil
	case refused:
		k.err = a.err
		if k.doubt {
			// The lost attempt may still be stored once the refusal's reason is gone.
			k.err = fmt.Errorf("%w: it was sent before; now: %s", service.ErrOutcomeUnknown, a.err)
		}
	case unknown:
		k.err = a.err
	case expired:
		k.err = fmt.Errorf("%w: it was sent before, too many commits ago", service.ErrOutcomeUnknown)
	default:
		k.given, k.sent = false, k.doubt
		if !k.sent && f.refuses() {
			k.err = f.x.unavailable(nil)
			return true
		}
		f.stalled = true
		select {
		case f.again <- struct{}{}:
		default:
		}
		return false
	}
	return true
}

// refuses reports whether what was not sent yet has nowhere to go.
func (f *forwarder) refuses() bool { return f.beyond || !f.leading && !f.x.led() }

// give gives k to the target. The caller holds mu.
func (f *forwarder) give(k *call) {
	again := k.sent
	k.doubt = k.doubt || again
	if !again {
		k.floor = uint64(f.State().Position().Revision) + 1
	}
	k.given, k.sent, k.at = true, true, f.target
	f.target.give(f, k, again)
}

// aim makes t the target and gives it every call that waits.
func (f *forwarder) aim(t target, leading, beyond bool) {
	var dropped []*call
	f.mu.Lock()
	f.target, f.leading, f.beyond = t, leading, beyond
	for n, k := range f.table {
		k.given = false
		if !k.sent && f.refuses() {
			dropped = append(dropped, f.take(n))
		}
	}
	f.begin()
	_, own := t.(here)
	f.here.Store(own)
	f.mu.Unlock()
	for _, k := range dropped {
		k.err = f.x.unavailable(nil)
		k.done <- struct{}{}
	}
}

// begin begins a round: every call that is not given is, in order. The caller
// holds mu.
func (f *forwarder) begin() {
	f.round++
	f.stalled = false
	if f.target == nil {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(f.table)) {
		if k := f.table[n]; !k.given {
			f.give(k)
		}
	}
}

// resume ends a stall, unless the target still owes the answer to a call behind
// one that it turned away: it will turn that away, too, and the order must be kept.
func (f *forwarder) resume() (done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stalled || f.target == nil {
		return true
	}
	first := f.last + 1
	for n, k := range f.table {
		if !k.given && n < first {
			first = n
		}
	}
	for n, k := range f.table {
		if k.given && n > first {
			return false
		}
	}
	f.begin()
	return true
}

// run aims at who leads until ctx ends.
func (f *forwarder) run(ctx context.Context) {
	pause := minPause
	var repeat, patience, vacant <-chan time.Time
	given := false // the patience with the link to who leads is at its end
	over := false  // so is the time for which calls wait where nobody leads
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		lead, mesh := f.x.options.Leadership.Changed(), f.x.mesh.changed.wait()
		to, leading := f.resolve()
		switch {
		case leading:
			vacant = nil
		case f.leading && vacant == nil:
			vacant, leading = time.After(interregnum), true
		case f.leading && !over:
			leading = true
		}
		over = false
		if to != nil || !leading {
			patience, given = nil, false
		} else if patience == nil && !given {
			patience = time.After(deaf)
		}
		if f.target != to || f.leading != leading || f.beyond != given { // only written here
			f.aim(to, leading, given)
			repeat, pause = nil, minPause
		}
		select {
		case <-ctx.Done():
			f.end()
			return
		case <-lead:
		case <-mesh:
		case <-t.C: // that nobody leads any more is not told by every Leadership
		case <-patience:
			patience, given = nil, true
		case <-vacant:
			over = true
		case <-f.again:
			if repeat == nil {
				repeat = time.After(pause)
			}
		case <-repeat:
			if repeat = nil; f.resume() {
				pause = min(2*pause, maxPause)
			} else {
				repeat = time.After(minPause)
			}
		}
	}
}

// resolve finds where calls go now.
func (f *forwarder) resolve() (t target, leading bool) {
	node, ok := f.x.options.Leadership.Leader()
	switch {
	case !ok:
		return nil, false
	case node == f.x.options.Node:
		return here{}, true
	}
	if l := f.x.mesh.link(node); l != nil {
		return l, true
	}
	return nil, true
}

// end gives everything up.
func (f *forwarder) end() {
	f.mu.Lock()
	f.closed, f.target = true, nil
	f.here.Store(true) // the local appender says itself that it ends
	var list []*call
	for n := range f.table {
		list = append(list, f.take(n))
	}
	f.mu.Unlock()
	for _, k := range list {
		err := fmt.Errorf("%w: the node is stopping", service.ErrUnavailable)
		if k.sent {
			err = fmt.Errorf("%w: the node is stopping", service.ErrOutcomeUnknown)
		}
		k.err = err
		k.done <- struct{}{}
	}
}

// give implements target: over the link.
func (l *link) give(f *forwarder, k *call, again bool) {
	if len(k.record) == 0 {
		var err error
		if k.record, err = service.AppendChange(k.record, &k.change); err != nil {
			// Its turn to be given up comes with its deadline; nothing else can be said of it.
			f.x.options.OnLink(l.remote.id, err)
			return
		}
	}
	r := request{number: k.number, round: f.round, change: k.record}
	if again {
		r.floor = k.floor
	}
	l.pipe.request(r)
}

// answers takes in a link's answers, a frame at a time.
type answers struct {
	x    *Exchange
	link *link
	list []answer
	done []*call
}

func (a *answers) take(raw []byte) error {
	one, err := readAnswer(raw)
	if err == nil {
		a.list = append(a.list, one)
	}
	return err
}

// settle settles the calls that the frame answered. About a call that was given
// to another node since, a link is not listened to: what it refuses that one may store.
func (a *answers) settle() {
	f := a.x.forwarder
	f.mu.Lock()
	for i := range a.list {
		k := f.table[a.list[i].number]
		if k != nil && k.at == target(a.link) && f.judge(k, &a.list[i]) {
			a.done = append(a.done, f.take(k.number))
		}
	}
	f.mu.Unlock()
	for _, k := range a.done {
		k.done <- struct{}{}
	}
	clear(a.list)
	clear(a.done)
	a.list, a.done = a.list[:0], a.done[:0]
}

// here is the target where the node itself leads.
type here struct{}

// give implements target. Only what was on its way when the node began to lead
// comes here, so a goroutine for each is no cost.
func (here) give(f *forwarder, k *call, again bool) {
	number, change, round := k.number, k.change, f.round
	if again && !f.x.remembers(k.floor) {
		f.x.owned.Go(func() { f.conclude(round, answer{number: number, verdict: expired}) })
		return
	}
	wait := func() (service.Appended, error) { return f.LocalAppender.Append(f.x.ctx, change) }
	if !large(&change, len(k.record)) { // what is staged has no order to keep, and takes its time
		submitted, err := f.LocalAppender.Submit(change)
		wait = func() (service.Appended, error) {
			if err != nil {
				return service.Appended{}, err
			}
			return submitted.Wait(f.x.ctx)
		}
	}
	f.x.owned.Go(func() {
		out, err := wait()
		f.conclude(round, answerOf(number, out, err))
	})
}

// conclude takes in one answer of the round.
func (f *forwarder) conclude(round uint64, a answer) {
	f.mu.Lock()
	k := f.table[a.number]
	done := f.round == round && k != nil && f.judge(k, &a)
	if done {
		f.take(a.number)
	}
	f.mu.Unlock()
	if done {
		k.done <- struct{}{}
	}
}

// answerOf is the answer to a change that an appender has dealt with.
func answerOf(number uint64, out service.Appended, err error) answer {
	if err != nil {
		return answer{number: number, verdict: verdictOf(err), err: err}
	}
	return answer{number: number, verdict: stored, epoch: out.Position.Epoch, revision: out.Position.Revision, replayed: out.Replayed, noChange: out.NoChange, remembered: out.Remembered}
}

// large reports whether a change may have to be staged, which takes several
// writes of the store: it has no place in a line of others.
func large(c *service.Change, record int) bool {
	return len(c.Events) > eventlog.MaxCommitEvents || record > eventlog.MaxCommitBytes/2
}

// verdictOf sorts the errors of an Appender by what they mean for another attempt.
func verdictOf(err error) verdict {
	switch {
	case errors.Is(err, service.ErrOutcomeUnknown):
		return unknown
	case errors.Is(err, appender.ErrClosed), errors.Is(err, appender.ErrWithdrawn), errors.Is(err, eventlog.ErrUnavailable),
		errors.Is(err, service.ErrOverloaded), errors.Is(err, eventlog.ErrLevel):
		return turned
	}
	return refused
}
