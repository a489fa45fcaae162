package appender

import (
	"errors"
	"fmt"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

const (
	// firstLaunch is how many commits are prepared at most while the log is
	// idle; the rest is prepared while they are in flight.
	firstLaunch = 256
	// peekEvery is how many commits are prepared between two looks at whether
	// the batch in flight has landed.
	peekEvery = 32
	// longFlight is how long a batch is in flight before requests are looked at
	// one by one again, so that those which need not wait for it do not.
	longFlight = 10 * time.Millisecond
	// busyBatches of its own in a row make the appender stop following.
	busyBatches = 32
	// quiet without a batch of its own makes it follow again.
	quiet = 20 * time.Millisecond
)

// landing is the outcome of the batch in flight.
type landing struct {
	head eventlog.Head
	err  error
}

// loop is the state of the one goroutine that touches the Fold.
//
// Invariant: building holds commits only while a batch is in flight or between
// two statements of the loop; the Fold stands at building's tip, else at
// flying's, else at head.
type loop struct {
	*Appender
	fold   *projector.Fold
	guard  guard
	head   eventlog.Head // acknowledged, with guard
	headAt int64         // log time at head

	backlog  backlog
	building *batch
	flying   *batch
	launches chan launch
	told     chan *batch // landed, and to be told of
	landed   chan landing
	chain    chain

	nowMS  int64
	textOf int64 // the time that text holds
	text   [timeLen]byte
	rooms  [][]byte // of batches that have landed, for the next ones

	flight   *time.Timer // longFlight after the launch of flying
	expected int         // requests for the next batch: callers just answered, and those who wait
	answered time.Time   // when they were
	passes   int         // batches that leave without gathering
	gap      *time.Timer // while gathering
	follower *follower
	ownRun   int // own batches since something else happened
	retry    time.Duration

	full      bool      // the store refused the last batch for want of space
	fullUntil time.Time // when it is tried again
	fullPause time.Duration
	freeing   bool
	freed     chan error
}

// backlog is the list of requests taken off the queue, oldest first.
type backlog struct{ first, last *Pending }

func (b *backlog) add(list *Pending) {
	if list == nil {
		return
	}
	if b.first == nil {
		b.first = list
	} else {
		b.last.next = list
	}
	for b.last = list; b.last.next != nil; b.last = b.last.next {
	}
}

type launch struct {
	prev, next eventlog.Head
	raw        []byte
	stages     []string
}

// carry appends one batch after the other; the log resolves unknown outcomes.
func (a *Appender) carry(launches <-chan launch, landed chan<- landing) {
	defer a.owned.Done()
	for l := range launches {
		head, err := a.log.Append(a.ctx, l.prev, l.next, l.raw, l.stages)
		landed <- landing{head, err}
	}
}

func (l *loop) run() {
	defer l.owned.Done()
	defer close(l.launches)
	defer close(l.told)
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	l.flight = time.NewTimer(longFlight)
	l.gap = time.NewTimer(gatherGap)
	defer l.gap.Stop()
	defer l.flight.Stop()
	l.follow()
	for {
		l.fill()
		if l.flying == nil && l.building != nil && l.ctx.Err() == nil {
			l.gather()
			l.launch()
			continue // prepare what has come meanwhile
		}
		var followed chan followed
		if l.flying == nil && l.follower != nil {
			followed = l.follower.batches
		}
		select {
		case <-l.ctx.Done():
			l.end()
			return
		case <-l.queue.wake:
		case <-l.flight.C:
			l.queue.busy.Store(false)
		case r := <-l.landed:
			l.land(r)
			if l.ownRun == busyBatches {
				l.unfollow()
			}
			if l.follower == nil {
				timer.Reset(quiet)
			}
		case f := <-followed:
			if f.batch.Last() > l.head.Revision { // not an echo of its own
				l.ownRun = 0
			}
			f.reply <- l.takeIn(f.batch, f.head)
		case err := <-l.follower.ended():
			l.followEnded(err)
			timer.Reset(l.retry)
		case <-l.urgent:
			if l.follower == nil {
				l.follow()
			}
		case <-timer.C:
			if l.follower == nil && l.flying == nil {
				l.ownRun = 0
				l.follow()
			}
		case err := <-l.freed:
			l.freeing = false
			if err == nil {
				l.full, l.fullPause = false, 0
			}
		}
	}
}

// fill judges and folds requests into the batch being built, until it is full
// or nothing waits.
func (l *loop) fill() {
	for n := 0; ; n++ {
		if n%peekEvery == 0 {
			if len(l.landed) > 0 || l.ctx.Err() != nil {
				return
			}
			l.nowMS = l.options.Now().UnixMilli()
		}
		if l.flying == nil && l.building != nil && len(l.building.items) >= firstLaunch {
			return
		}
		if l.backlog.first == nil {
			l.backlog.add(l.queue.takeAll())
		}
		p := l.backlog.first
		if p == nil {
			return
		}
		next := p.next // admit may finish p, which then is its caller's
		took := l.admit(p)
		if !took {
			return
		}
		l.backlog.first = next
		if next == nil {
			l.backlog.last = nil
		}
	}
}

// admit answers, refuses or folds p; false: the batch has no room for it.
func (l *loop) admit(p *Pending) bool {
	if p.state.Load() != taken && !p.state.CompareAndSwap(queued, taken) {
		l.queue.release(p.size) // withdrawn: its caller has gone
		return true
	}
	if p.sink != nil && p.sink.Gone() && !p.unknown {
		l.refuse(p, ErrWithdrawn)
		return true
	}
	c := &p.commit
	if q := p.request.Principal; q != nil && !p.unknown { // before what it did is told
		if err := authentic(l.fold.Current().Access(), q, l.nowMS); err != nil {
			l.deny(p, err)
			return true
		}
	}
	if s, ok := l.fold.Seen(c.Actor, c.ID); ok && !mutantNoDedupe {
		l.replay(p, s)
		return true
	}
	if err := l.obstacle(p); err != nil {
		l.refuse(p, err)
		return true
	}
	if p.request.Check != nil || p.request.Prepare != nil {
		if err := p.prepare(l.fold.Current()); err != nil {
			l.deny(p, err)
			return true
		}
	}
	if p.inquiry {
		tip, at := l.tip()
		if _, err := l.judge(p, tip, at); err != nil {
			l.deny(p, err)
		} else {
			l.answer(p, Result{})
		}
		return true
	}
	if len(c.Events) == 0 && p.generated {
		tip, at := l.tip()
		l.attach(p, Result{Epoch: tip.Epoch, Revision: tip.Revision, Time: at, NoChange: true})
		return true
	}
	if l.building == nil {
		tip, at := l.tip()
		commits := 16
		if l.flying != nil {
			commits = max(commits, len(l.flying.items))
		}
		l.building = newBatch(tip, at, l.room(), commits)
	}
	b := l.building
	if !b.fits(len(p.form.bytes)) || len(b.items) > 0 && raisesLevel(c) {
		return false
	}
	if err := l.apply(b, p); err != nil {
		if err == errRoom {
			return false
		}
		if len(b.items) == 0 {
			l.building = nil
		}
		l.deny(p, err)
	}
	return true
}

// obstacle is what keeps every request from being stored at present.
func (l *loop) obstacle(p *Pending) error {
	if e := l.fault.Load(); e != nil {
		return *e
	}
	if p.unknown {
		// Its batch was lost track of and the log does not hold it.
		return eventlog.ErrOutcomeUnknown
	}
	if l.full && l.options.Now().Before(l.fullUntil) {
		return eventlog.ErrNoSpace
	}
	return nil
}

// apply folds p as the next commit of b.
func (l *loop) apply(b *batch, p *Pending) error {
	c := &p.commit
	p.judged()
	forced, err := l.judge(p, b.tip, b.tipAt)
	if err != nil {
		return err
	}
	if err := p.pass(b, forced); err != nil {
		return err
	}
	if c.Time != l.textOf {
		eventlog.AppendTime(l.text[:0], c.Time)
		l.textOf = c.Time
	}
	start := len(b.raw)
	b.raw = p.form.appendTo(b.raw, c.Revision, &l.text)
	h := l.chain.next(b.tip.Hash, b.raw[start:])
	if err := l.fold.Apply(c, h); err != nil {
		b.raw = b.raw[:start]
		return err
	}
	b.tip.Revision, b.tip.Hash, b.tipAt = c.Revision, h, c.Time
	if raisesLevel(c) {
		b.tip.Level, b.raises = l.fold.Current().Head().Level, true
	}
	if p.staged != "" {
		b.stages = append(b.stages, p.staged)
	}
	b.items = append(b.items, p)
	p.folded(b)
	return nil
}

// judge gives p's commit its place behind tip and asks whether it may be there,
// and which guards it passes by force.
func (l *loop) judge(p *Pending, tip eventlog.Head, at int64) (forced []string, err error) {
	c := &p.commit
	current := l.fold.Current()
	if err := judgeReferences(current, c); err != nil {
		return nil, err
	}
	c.Revision, c.Epoch, c.Time = tip.Revision+1, tip.Epoch, max(at, l.nowMS)
	if err := p.due(); err != nil {
		return nil, err
	}
	if err := authorize(current, &p.request, c, c.Time); err != nil {
		return nil, err
	}
	if l.options.Judge != nil {
		if err := l.options.Judge(current, c); err != nil {
			return nil, err
		}
	}
	if !p.request.Exempt {
		if err := judgeRecursion(l.fold.State, c); err != nil {
			return nil, err
		}
	}
	return l.guard.judge(&p.request, c, current, l.fold.State)
}

func raisesLevel(c *eventlog.Commit) bool {
	for _, e := range c.Events {
		if _, ok := e.(*eventlog.LevelRaised); ok {
			return true
		}
	}
	return false
}

// tip is where the Fold stands.
func (l *loop) tip() (eventlog.Head, int64) {
	switch {
	case l.building != nil:
		return l.building.tip, l.building.tipAt
	case l.flying != nil:
		return l.flying.tip, l.flying.tipAt
	default:
		return l.head, l.headAt
	}
}

// replay answers p with the commit that its id made before.
func (l *loop) replay(p *Pending, s projector.Seen) {
	if s.Request != p.commit.Request {
		l.join(joined{p: p, res: Result{Revision: s.Revision}, err: ErrIdempotencyMismatch})
		return
	}
	l.counts.replayed.Add(1)
	l.attach(p, Result{Epoch: l.fold.Current().EpochOf(s.Revision), Revision: s.Revision, Time: s.Time, Replayed: !p.unknown, Remembered: true})
}

// attach answers p as soon as res.Revision is acknowledged.
func (l *loop) attach(p *Pending, res Result) { l.join(joined{p: p, res: res}) }

// deny refuses p for what the Fold shows at its tip, as soon as that is
// acknowledged: until then it may never come true, and whoever was refused for
// it could still read the state before.
func (l *loop) deny(p *Pending, err error) {
	if errors.Is(err, eventlog.ErrNoSpace) { // of the store, not of the state
		l.refuse(p, err)
		return
	}
	tip, _ := l.tip()
	l.join(joined{p: p, res: Result{Revision: tip.Revision}, err: err})
}

// join answers j when its revision is acknowledged; where its batch is lost, it
// is judged anew.
func (l *loop) join(j joined) {
	switch {
	case j.res.Revision <= l.head.Revision:
		l.conclude(j)
	case l.flying != nil && j.res.Revision <= l.flying.tip.Revision:
		l.flying.joined = append(l.flying.joined, j)
	default:
		l.building.joined = append(l.building.joined, j)
	}
}

func (a *Appender) conclude(j joined) {
	if j.err != nil {
		a.refuse(j.p, j.err)
		return
	}
	a.answer(j.p, j.res)
}

func (a *Appender) answer(p *Pending, res Result) {
	a.queue.release(p.size)
	p.conclude(res, nil)
}

func (a *Appender) refuse(p *Pending, err error) {
	a.counts.refused.Add(1)
	a.queue.release(p.size)
	p.conclude(Result{}, err)
}

// launch sends the batch that was built on its way.
func (l *loop) launch() {
	b := l.building
	l.building = nil
	b.prev.Guard = l.head.Guard
	b.state = l.fold.State()
	b.left = time.Now()
	l.flying = b
	l.queue.busy.Store(true) // the landing wakes the loop anyway
	l.flight.Reset(longFlight)
	if len(b.stages) > 0 {
		for _, p := range b.items {
			p.proposed = true
		}
	}
	if mutantEarlyAck {
		l.publish(b.state, b.tip)
		l.tell(b)
	}
	l.launches <- launch{prev: b.prev, next: b.tip, raw: b.seal(l.options.Node), stages: b.stages}
}

// down is the end of a flight: requests wake the loop one by one again.
func (l *loop) down() {
	l.flying = nil
	l.queue.busy.Store(false)
}

// land deals with the outcome of the batch in flight.
func (l *loop) land(r landing) {
	b := l.flying
	switch {
	case r.err == nil:
		if mutantEarlyAck {
			b.items, b.joined = nil, nil
		}
		l.down()
		l.head, l.headAt = r.head, b.tipAt
		// The next batch leaves after the callers were told, not before: of those
		// who call again at once many still come aboard, and the goroutines that
		// carry it are not queued behind the callers.
		n := len(b.items)
		l.expected = max(int(l.queue.count.Load())-n, 0) + n - n/8
		l.acknowledge(b, r.head)
		l.answered = time.Now()
	case errors.Is(r.err, eventlog.ErrHeadMoved):
		l.counts.headMoved.Add(1)
		l.again(nil)
	case errors.Is(r.err, eventlog.ErrNoSpace):
		l.counts.noSpace.Add(1)
		l.noSpace()
		l.again(nil)
	case l.ctx.Err() != nil: // nothing more is known, and end waits for what flies
		l.down()
		l.answerAll(b, eventlog.ErrOutcomeUnknown)
	default:
		l.again(r.err)
	}
}

func (l *loop) acknowledge(b *batch, head eventlog.Head) {
	landed := time.Now()
	l.publish(b.state, head)
	l.full, l.fullPause = false, 0
	l.ownRun++
	bytes := len(b.raw) - lineRoom
	l.counts.batches.Add(1)
	l.counts.commits.Add(int64(len(b.items)))
	l.counts.bytes.Add(int64(bytes))
	l.counts.folded(bytes)
	l.measures.stored(b, bytes, landed, b.trace(bytes, landed))
	if len(b.stages) > 0 {
		for _, p := range b.items {
			if p.stage != nil {
				l.used.add(p.stage, p.commit.Revision)
			}
		}
	}
	if len(b.items) < heraldAt {
		l.tell(b)
	} else {
		l.told <- b
	}
	// One is being built and one in flight at most. A commit of megabytes alone is
	// rare enough not to keep its room.
	if len(l.rooms) < 2 && cap(b.raw) <= 2*eventlog.MaxBatchBytes {
		l.rooms = append(l.rooms, b.raw)
	}
}

// room is a buffer for a batch, used if there is one.
func (l *loop) room() []byte {
	n := len(l.rooms)
	if n == 0 {
		return make([]byte, 0, 4<<10)
	}
	room := l.rooms[n-1]
	l.rooms = l.rooms[:n-1]
	return room
}

// again takes every request in hand back, brings the Fold to where the log
// really is, and judges them anew. lost: the outcome of the batch in flight is
// not clear, so what the log does not show is not proposed once more.
func (l *loop) again(lost error) {
	if mutantAbsent && lost != nil && l.flying != nil {
		l.answerAll(l.flying, eventlog.ErrUnavailable)
		l.flying = nil
	}
	var list backlog
	for _, b := range []*batch{l.flying, l.building} {
		if b == nil {
			continue
		}
		for _, p := range b.items {
			p.unknown = p.unknown || (lost != nil && b == l.flying)
			p.next = nil
			list.add(p)
		}
		for _, j := range b.joined {
			j.p.next = nil
			list.add(j.p)
		}
	}
	rest := l.backlog.first
	l.backlog = list
	l.backlog.add(rest)
	l.down()
	l.building = nil
	l.unfollow()
	if lost != nil {
		l.options.OnDamage(fmt.Errorf("append: %w", lost))
	}
	if err := l.resync(); err != nil {
		l.setFault(err)
	}
	l.ownRun = 0
	l.follow()
}

// noSpace remembers that the store is full and has space made.
func (l *loop) noSpace() {
	l.fullPause = min(max(2*l.fullPause, time.Second), 30*time.Second)
	l.full, l.fullUntil = true, l.options.Now().Add(l.fullPause)
	if l.options.OnNoSpace == nil || l.freeing {
		return
	}
	l.freeing = true
	l.owned.Add(1)
	go func() {
		defer l.owned.Done()
		l.freed <- l.options.OnNoSpace(l.ctx)
	}()
}

// end answers everyone when the appender is closed.
func (l *loop) end() {
	l.unfollow()
	if b := l.flying; b != nil {
		r := <-l.landed // the context has ended, so the log returns
		if r.err == nil {
			l.flying, l.head, l.headAt = nil, r.head, b.tipAt
			l.acknowledge(b, r.head)
		} else {
			l.answerAll(b, eventlog.ErrOutcomeUnknown)
		}
	}
	if l.building != nil {
		l.answerAll(l.building, ErrClosed)
	}
	for p := l.backlog.first; p != nil; {
		next := p.next
		if p.state.Load() == taken || p.state.CompareAndSwap(queued, taken) {
			l.refuse(p, ErrClosed)
		} else {
			l.queue.release(p.size)
		}
		p = next
	}
	l.closed.Store(true)
	l.drain()
}

func (l *loop) answerAll(b *batch, err error) {
	for _, p := range b.items {
		l.refuse(p, err)
	}
	for _, j := range b.joined {
		l.refuse(j.p, err)
	}
}
