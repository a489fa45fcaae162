package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/appender"
	"dvr/controller/peerpb"
	"dvr/controller/service"
)

// Bounds of what one caller may have in progress here.
const (
	maxWaiting = 4096 // changes in the appender's hands
	maxLarge   = 4    // of those that may be staged
)

// maxCallers bounds the links to this node: more than one of each node that the
// directory holds are there only for a moment.
const maxCallers = 2 * maxNodes

// callers are the links that other nodes have to this one.
type callers struct {
	mu    sync.Mutex
	list  map[*caller]struct{}
	ended bool

	partial atomic.Int64 // bytes of records that are not complete
}

// caller is a link as the node that was called has it.
type caller struct {
	x      *Exchange
	node   string
	pipe   *pipe
	reader service.ChangeReader
	outlet service.Outlet
	room   chan struct{} // a token for each change in the appender's hands
	large  chan struct{} // and for each large one in progress
	round  atomic.Uint64 // in which something was turned away
	gone   atomic.Bool   // the link has ended
	cancel context.CancelCauseFunc
}

// Link serves one caller; gRPC calls it.
func (s server) Link(stream peerpb.Peer_LinkServer) error {
	x := s.x
	first, err := introduced(stream)
	if err != nil {
		return err
	}
	if err := x.checkIntroduction(first.GetIntroduction(), ""); err != nil {
		return err
	}
	if admit := x.options.Admit; admit != nil {
		if err := admit(stream.Context(), first.GetIntroduction().GetNode()); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	c := &caller{
		x: x, node: first.GetIntroduction().GetNode(), pipe: newPipe(x.options.Now),
		room: make(chan struct{}, maxWaiting), large: make(chan struct{}, maxLarge), cancel: cancel,
	}
	c.outlet = x.forwarder.local.Outlet(c)
	own := &peerpb.Introduction{Protocol: protocol, Node: x.options.Node, LogId: x.logID()}
	if err := stream.Send(&peerpb.Frame{Introduction: own, Standing: x.standing()}); err != nil {
		return err
	}
	if err := x.links.enter(c); err != nil {
		return err
	}
	defer x.links.leave(c)
	c.pipe.tell(x.standing()) // it may have changed before c was in the list

	var owned sync.WaitGroup
	defer owned.Wait()
	defer cancel(nil)
	defer c.gone.Store(true)
	owned.Go(func() { cancel(c.pipe.run(ctx, stream.Send)) })
	failed := make(chan error, 1)
	go func() { failed <- c.receive(ctx, stream) }() // ends with the stream, which ends when this returns
	select {
	case err := <-failed:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// introduced is the first frame of a link; whoever opens one and says nothing is cut.
func introduced(stream peerpb.Peer_LinkServer) (*peerpb.Frame, error) {
	type received struct {
		frame *peerpb.Frame
		err   error
	}
	first := make(chan received, 1)
	go func() { // ends with the stream
		f, err := stream.Recv()
		first <- received{f, err}
	}()
	late := time.NewTimer(deaf)
	defer late.Stop()
	select {
	case r := <-first:
		return r.frame, r.err
	case <-late.C:
		return nil, status.Error(codes.DeadlineExceeded, errDeaf.Error())
	}
}

// receive takes in what the caller sends.
func (c *caller) receive(ctx context.Context, stream peerpb.Peer_LinkServer) error {
	silence := time.AfterFunc(deaf, func() { c.cancel(errDeaf) })
	defer silence.Stop()
	in := records{all: &c.x.links.partial}
	defer in.end()
	for {
		f, err := stream.Recv()
		if err != nil {
			return err
		}
		silence.Reset(deaf)
		if err := in.feed(f.GetRecords(), func(raw []byte) error { return c.take(ctx, raw) }); err != nil {
			return err
		}
	}
}

// take gives one change to the appender of this node. It waits where the
// appender has no room: what is behind it must not overtake.
func (c *caller) take(ctx context.Context, raw []byte) error {
	r, err := readRequest(raw)
	if err != nil {
		return err
	}
	if c.round.Load() == r.round {
		c.pipe.answer(&answer{number: r.number, verdict: turned, err: errTurned})
		return nil
	}
	if !c.x.leads() {
		c.turn(r.number, r.round, fmt.Errorf("%w: node %s does not lead", service.ErrUnavailable, c.x.options.Node))
		return nil
	}
	change, err := c.reader.Read(r.change)
	if err != nil {
		c.pipe.answer(&answer{number: r.number, verdict: refused, err: err})
		return nil
	}
	if !c.x.remembers(r.floor) {
		c.pipe.answer(&answer{number: r.number, verdict: expired})
		return nil
	}
	change.Trace = c.x.options.Trace.Joined(change.Traceparent).Append()
	if large(&change, len(r.change)) {
		select {
		case c.large <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		go func() { // ends with ctx
			defer func() { <-c.large }()
			out, err := c.x.forwarder.local.Append(ctx, change)
			c.conclude(r.number, r.round, out, err)
		}()
		return nil
	}
	select {
	case c.room <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	tag := appender.Tag{r.number, r.round}
	pause := time.Millisecond
	for {
		if c.round.Load() == r.round { // while this one waited
			<-c.room
			c.pipe.answer(&answer{number: r.number, verdict: turned, err: errTurned})
			return nil
		}
		err := c.outlet.Submit(change, tag)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, service.ErrOverloaded):
			<-c.room
			c.conclude(r.number, r.round, service.Appended{}, err)
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
}

var errTurned = fmt.Errorf("%w: something before it was turned away", service.ErrUnavailable)

// Done implements service.Sink: the answer is sent with those that follow.
func (c *caller) Done(tag appender.Tag, out service.Appended, err error) {
	defer func() { <-c.room }() // whoever waits for it sees the round
	if c.gone.Load() {
		return
	}
	a := answerOf(tag[0], out, err)
	if a.verdict == turned {
		c.closeRound(tag[1])
	}
	c.pipe.add(&a)
}

// Flush implements service.Sink.
func (c *caller) Flush() { c.pipe.poke() }

// Gone implements service.Sink.
func (c *caller) Gone() bool { return c.gone.Load() }

// conclude answers a change that the appender has dealt with, unless the link
// has ended: its caller asks another node then.
func (c *caller) conclude(number, round uint64, out service.Appended, err error) {
	if c.gone.Load() {
		return
	}
	a := answerOf(number, out, err)
	if a.verdict == turned {
		c.turn(number, round, err)
		return
	}
	c.pipe.answer(&a)
}

// closeRound turns away what is still to come of a round, unless a later one is
// closed already.
func (c *caller) closeRound(round uint64) {
	for old := c.round.Load(); old < round && !c.round.CompareAndSwap(old, round); old = c.round.Load() {
	}
}

// turn turns a change away, and what follows it in its round.
func (c *caller) turn(number, round uint64, err error) {
	c.closeRound(round)
	c.pipe.answer(&answer{number: number, verdict: turned, err: err})
}

func (l *callers) enter(c *caller) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return errEnding
	case len(l.list) >= maxCallers:
		return status.Errorf(codes.ResourceExhausted, "%d links to this node stand", maxCallers)
	}
	l.list[c] = struct{}{}
	return nil
}

func (l *callers) leave(c *caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.list, c)
}

func (l *callers) tell(s *peerpb.Standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.list {
		c.pipe.tell(s)
	}
}

// end cuts every link, and those to come.
func (l *callers) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for c := range l.list {
		c.cancel(errEnding)
	}
}
