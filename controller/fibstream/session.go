package fibstream

import (
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// Bounds on what a data plane may make a session hold.
const (
	maxCredit    = 1 << 16 // chunks
	maxControls  = 64      // messages that wait to be sent beside deltas
	maxQuestions = 64      // of a kind that wait for their answer
)

// session is one stream of one data plane.
//
// Invariant: acked ≤ sent ≤ examined ≤ the State. base is the FIB that the data
// plane has when it has applied everything sent.
type session struct {
	server   *Server
	stream   fibpb.Fib_SubscribeServer
	router   eventlog.RouterID
	instance string
	plane    *plane // nil until claimed
	table    *table
	ready    chan struct{} // closed when the receiver may go on after Hello
	quit     chan struct{} // closed when the stream must end, for the reason why
	wake     chan struct{} // something the sender waits for has happened

	// Of the sending goroutine.
	base    *projector.FIB // nil: the next delta is full
	first   plan
	started bool // the first delta has been sent
	number  uint64
	sentAt  eventlog.Position
	pledges pledges
	turn    *turn            // to be sent a full table; nil: none is wanted
	probes  []eventlog.Probe // as the data plane was told

	mu sync.Mutex
	// unsettled: the position moved by deltas that were empty and not sent. It is
	// set while something is in flight, so that an ack wakes the sender.
	unsettled bool

	why      error
	left     bool
	credit   int64
	inFlight []sent // oldest first
	acked    *projector.FIB
	controls []*fibpb.ControllerMessage
	repair   repair
	lookups  questions[*fibpb.LookupAnswer]
	audits   questions[*fibpb.AuditReport]
}

// sent is a delta that waits for its ack.
type sent struct {
	number uint64
	fib    *projector.FIB
	at     time.Time // when it was begun to be sent
	// delivery is guarded by the session's mu once it is in flight; nil: nobody asks.
	delivery *Delivery
}

// repair is the state of reconciling a data plane whose digest differs.
type repair struct {
	due   bool
	after uint64    // acks of deltas up to this one say nothing new
	next  time.Time // not before
	pause time.Duration
}

func newSession(s *Server, stream fibpb.Fib_SubscribeServer) *session {
	return &session{
		server: s, stream: stream,
		ready: make(chan struct{}), quit: make(chan struct{}), wake: make(chan struct{}, 1),
		lookups: questions[*fibpb.LookupAnswer]{}, audits: questions[*fibpb.AuditReport]{},
	}
}

// poke wakes the sender.
func (x *session) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// end makes the stream end with err; only the first reason counts.
func (x *session) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.why == nil {
		x.why = err
		close(x.quit)
	}
}

func (x *session) cause() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.why
}

// control queues a message beside the deltas. A data plane that takes none is
// cut off: it would otherwise miss one.
func (x *session) control(m *fibpb.ControllerMessage) bool {
	x.mu.Lock()
	full := len(x.controls) >= maxControls
	if !full {
		x.controls = append(x.controls, m)
	}
	x.mu.Unlock()
	if full {
		x.end(status.Error(codes.ResourceExhausted, "the data plane takes no messages: connect again"))
	}
	x.poke()
	return !full
}

// greet checks the Hello, takes the router over, and answers Welcome.
func (x *session) greet(h *fibpb.Hello) error {
	if err := checkHello(h); err != nil {
		return err
	}
	if admit := x.server.options.Admit; admit != nil {
		if err := admit(x.stream.Context(), h.GetRouter()); err != nil {
			return err
		}
	}
	x.router, x.instance = eventlog.RouterID(h.GetRouter()), h.GetInstance()
	x.credit = min(int64(h.GetCredit()), maxCredit)
	if err := x.server.registry.claim(x, h); err != nil {
		return err
	}
	x.table = x.server.tables.open(x.router)
	ctx := x.stream.Context()
	if err := x.catchUp(ctx, h.GetPosition()); err != nil {
		return err
	}
	state := x.server.states.State()
	head := state.Head()
	at := state.Position()
	welcome := &fibpb.Welcome{
		Protocol: protocol, Node: x.server.options.Node, Head: position(at),
		Controllers: *x.server.controllers.Load(), EpochNonce: head.Nonce[:], DigestVersion: digestVersion,
		Config: x.config(state),
	}
	if err := x.stream.Send(&fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	if id := h.GetPosition().GetLogId(); id != "" && id != at.LogID && !h.GetAdopt() {
		return status.Errorf(codes.FailedPrecondition,
			"the data plane holds routes of log %s, this controller serves log %s: start it with --adopt to take these", id, at.LogID)
	}
	fib := x.table.at(x.router, state)
	x.first = resume(h, head.Nonce, fib, func(p eventlog.Position) *projector.FIB {
		return x.server.registry.kept(x.plane, p)
	})
	x.base = x.first.base
	x.server.registry.greeted(x, h, fib)
	x.server.registry.own(x, func(*plane) { x.server.options.OnStream(x.router, true) })
	close(x.ready)
	return nil
}

// run sends until the stream ends.
func (x *session) run(failed <-chan error) error {
	ctx := x.stream.Context()
	for {
		changed := x.server.states.Changed()
		if err := x.sendControls(); err != nil {
			return err
		}
		state := x.server.states.State()
		if err := x.configure(state); err != nil {
			return err
		}
		wait, err := x.advance(state)
		if err != nil {
			return err
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-changed:
		case <-x.wake:
		case <-timer:
		case <-x.quit:
			return x.cause()
		case err := <-failed:
			return err
		case <-x.server.closing:
			return errClosing
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// advance sends what takes the data plane to s, as far as credit and acks
// allow. wait > 0: a repair is due then.
func (x *session) advance(s *projector.State) (wait time.Duration, err error) {
	x.mu.Lock()
	credit, waiting, unsettled := x.credit, len(x.inFlight), x.unsettled
	full := !x.started && x.base == nil
	repairing := false
	if x.repair.due {
		if wait = x.repair.next.Sub(x.server.options.Now()); wait <= 0 {
			full, repairing = true, true
		}
	}
	x.mu.Unlock()
	if full && credit > 0 {
		if x.turn == nil {
			x.turn = x.server.turns.ask(x.poke)
		}
		if !x.turn.mine() {
			if !x.started {
				return 0, nil // a message of the data plane, or its turn, wakes
			}
			// What changes meanwhile is sent as ever: repairing takes that, too.
			full, repairing = false, false
		}
	}
	if credit == 0 || waiting >= x.server.options.MaxInFlight || (repairing && waiting > 0) {
		return 0, nil // a message of the data plane wakes
	}
	wait = max(wait, 0)
	if x.started && !full && !unsettled && !before(x.sentAt, s.Position()) {
		pause, err := x.pledge(x.base)
		if pause > 0 && (wait == 0 || pause < wait) {
			wait = pause
		}
		return wait, err
	}
	if full {
		defer func() {
			x.turn.end()
			x.turn = nil
		}()
	}
	told := x.delivery(x.sentAt, full)
	var fib *projector.FIB
	if fib = x.first.fib; fib == nil {
		fib = x.table.at(x.router, s)
	}
	var d *projector.Delta
	from := x.sentAt
	switch {
	case full && !x.started && x.first.buckets != nil:
		d = fib.DeltaBuckets(x.first.buckets) // x.first.fib's
	case full:
		d = fib.Delta(nil)
	default:
		d = fib.Delta(x.base)
	}
	pause, err := x.pledge(fib)
	if err != nil {
		return 0, err
	}
	if pause > 0 && (wait == 0 || pause < wait) {
		wait = pause
	}
	empty := !full && d.Empty()
	x.server.registry.examined(x, from, fib.Position(), touchOf(d, x.started))
	x.mu.Lock()
	if x.unsettled = empty && x.started && len(x.inFlight) > 0; x.unsettled {
		x.mu.Unlock()
		// The position alone: it travels with the next delta, or when the data
		// plane has acked what it has.
		x.base, x.sentAt = fib, fib.Position()
		return wait, nil
	}
	x.number++
	now := x.server.options.Now()
	if told != nil {
		told.Compiled, told.Sent = now, now
	}
	x.inFlight = append(x.inFlight, sent{x.number, fib, now, told})
	if repairing {
		x.server.measures.full.Inc()
		x.repair.due = false
		x.repair.after = x.number - 1
	}
	x.mu.Unlock()
	x.base, x.sentAt, x.started = fib, fib.Position(), true
	x.first = plan{}
	e := x.server.encoders.Get().(*encoder)
	err = e.encode(x.number, d, x.sendChunk)
	x.server.encoders.Put(e)
	if err != nil {
		return 0, err
	}
	if told != nil {
		x.mu.Lock()
		told.Sent = x.server.options.Now()
		x.mu.Unlock()
	}
	if err := x.redeem(fib); err != nil {
		return 0, err
	}
	if before(x.sentAt, x.server.states.State().Position()) {
		x.poke()
	}
	return wait, nil
}

// sendChunk waits for credit and sends.
func (x *session) sendChunk(c *fibpb.DeltaChunk) error {
	for {
		if err := x.sendControls(); err != nil {
			return err
		}
		x.mu.Lock()
		ok := x.credit > 0
		if ok {
			x.credit--
		}
		x.mu.Unlock()
		if ok {
			return x.stream.Send(&fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Delta{Delta: c}})
		}
		select {
		case <-x.wake:
		case <-x.quit:
			return x.cause()
		case <-x.server.closing:
			return errClosing
		case <-x.stream.Context().Done():
			return status.FromContextError(x.stream.Context().Err()).Err()
		}
	}
}

func (x *session) sendControls() error {
	x.mu.Lock()
	list := x.controls
	x.controls = nil
	x.mu.Unlock()
	for _, m := range list {
		if err := x.stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// receive takes in what the data plane sends, until the stream ends.
func (x *session) receive(hello chan<- *fibpb.Hello, failed chan<- error) {
	m, err := x.stream.Recv()
	if err == nil && m.GetHello() == nil {
		err = invalid("the first message must be Hello")
	}
	if err != nil {
		failed <- received(err)
		return
	}
	hello <- m.GetHello()
	select {
	case <-x.ready:
	case <-x.stream.Context().Done():
		return
	}
	for {
		m, err := x.stream.Recv()
		if err == nil {
			err = x.take(m)
		}
		if err != nil {
			failed <- received(err)
			return
		}
	}
}

// received is the end of the stream as its handler returns it.
func received(err error) error {
	if errors.Is(err, io.EOF) {
		return nil // the data plane has gone in order
	}
	return err
}

func (x *session) take(m *fibpb.DataPlaneMessage) error {
	switch k := m.GetKind().(type) {
	case *fibpb.DataPlaneMessage_Credit:
		x.mu.Lock()
		x.credit = min(x.credit+int64(k.Credit.GetChunks()), maxCredit)
		x.mu.Unlock()
		x.poke()
	case *fibpb.DataPlaneMessage_Ack:
		return x.ack(k.Ack)
	case *fibpb.DataPlaneMessage_Observation:
		if k.Observation != nil {
			x.server.registry.own(x, func(p *plane) {
				if !p.observe(k.Observation) {
					return
				}
				if k.Observation.GetUndone() != nil {
					x.server.measures.undone.Inc()
				}
				x.server.options.OnObservation(x.router, k.Observation)
			})
		}
	case *fibpb.DataPlaneMessage_Lookup:
		answered(x, lookupsOf, k.Lookup.GetId(), k.Lookup)
	case *fibpb.DataPlaneMessage_Audit:
		answered(x, auditsOf, k.Audit.GetId(), k.Audit)
	case *fibpb.DataPlaneMessage_Counters:
		x.server.registry.counted(x, k.Counters)
	case *fibpb.DataPlaneMessage_Sink:
		return x.server.registry.reported(x, []*fibpb.SinkStatus{k.Sink})
	case *fibpb.DataPlaneMessage_Hello:
		return invalid("Hello comes once")
	}
	return nil // a kind of a newer protocol: features were not negotiated for it
}

// leave gives everything back when the stream has ended.
func (x *session) leave() {
	x.end(status.Error(codes.Canceled, "the stream has ended"))
	x.mu.Lock()
	x.left = true
	acked, lookups, audits := x.acked, x.lookups, x.audits
	x.lookups, x.audits = nil, nil
	x.mu.Unlock()
	x.turn.end()
	lookups.abandon()
	audits.abandon()
	if x.plane != nil {
		x.server.registry.leave(x, acked)
	}
	if x.table != nil {
		x.server.tables.close(x.router, x.table)
	}
}

func position(p eventlog.Position) *fibpb.Position {
	return &fibpb.Position{LogId: p.LogID, Epoch: p.Epoch, Revision: uint64(p.Revision)}
}
