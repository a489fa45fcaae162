package service

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Limits of an import.
const (
	// ChunkEvents is the most lines that one commit of an import holds.
	ChunkEvents = 1000
	// MaxLine is the longest line.
	MaxLine = 64 << 10
	// MaxRefused is how many refused lines are told; the rest is counted.
	MaxRefused = 100

	inFlightEvents  = 32 << 10 // of one import
	inFlightCommits = 256
)

// Refused is a line that was not imported.
type Refused struct {
	Line   int // from 1
	Field  string
	Reason string
}

// Imported is what became of an import. It is meaningful with an error too:
// what it counts is stored, and the same key continues.
type Imported struct {
	Receipt
	Key          string
	Lines        int // lines that held something
	Accepted     int // stored, by this call or an earlier one under the key
	RefusedCount int
	Refused      []Refused // the first MaxRefused
	First, Last  eventlog.Revision
	Changes      int // of an import of one commit: its events
}

// Import reads routes, one JSON object a line, and commits them in order,
// ChunkEvents a commit, under the ids "<key>/1", "<key>/2", …: several commits
// are in flight at once, and the same input under the same key finds those that
// are stored already. A line is a route as in POST /routes, the same with
// "withdraw":true, or an event of a route, router or link as the log stores it.
// A line at fault is refused alone.
//
// The order of lines is kept: a line about the same route as one before it in
// the chunk begins the next chunk, and nothing else is in flight beside lines that
// the state may refuse (removals of routers, recursive routes that hold their own next
// hop), whose chunk is then sent again without them. Memory is bounded whatever the input's size.
// m.Timeout 0: MaxTimeout.
func (s *Service) Import(ctx context.Context, m *Mutation, r io.Reader) (Imported, error) {
	if err := s.requireKnown(m.Require); err != nil {
		return Imported{}, err
	}
	timeout := m.Timeout
	if timeout <= 0 {
		timeout = MaxTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	i := importer{s: s, m: m, key: m.ID, hash: sha256.New(), decoder: eventlog.Decoder{AnyTags: true}}
	if i.key == "" {
		i.key = newKey(time.Now())
	}
	i.out.Key, i.out.ID, i.out.Wait = i.key, i.key, m.Wait
	i.reset()
	err := i.run(ctx, r, timeout)
	if err == nil {
		i.out.Position = s.Position()
		if i.out.Last > 0 {
			i.out.Position.Revision = i.out.Last
			i.out.Position.Epoch = i.epoch
			err = s.await(ctx, m, &i.out.Receipt, i.out.First, nil)
		}
	}
	if err != nil {
		err = i.failed(err)
	}
	return i.out, err
}

// chunk is a commit of an import.
type chunk struct {
	n       int
	events  []eventlog.Event
	lines   []int // line number of each event
	request eventlog.RequestHash
	sent    Submitted
}

type importer struct {
	s       *Service
	m       *Mutation
	key     string
	out     Imported
	epoch   uint64
	decoder eventlog.Decoder
	scratch []byte

	cur   chunk
	n     int
	seen  map[netip.Prefix]struct{}    // destinations in cur
	items map[eventlog.LinkID]struct{} // routers and links in cur
	alone bool                         // cur removes routers, and nothing else
	hash  hash.Hash                    // over the lines of cur

	flight  []chunk // oldest first
	pending int     // events in flight

	gathering *gathering // nil: each chunk is a commit
}

func (i *importer) reset() {
	i.n++
	i.cur = chunk{n: i.n}
	if i.seen == nil {
		i.seen = make(map[netip.Prefix]struct{}, ChunkEvents)
	}
	clear(i.seen)
	clear(i.items)
	i.hash.Reset()
	i.hash.Write([]byte("dvr request 1\nPOST\n/v1/routes/import\n"))
}

func (i *importer) run(ctx context.Context, r io.Reader, timeout time.Duration) error {
	in := bufio.NewReaderSize(r, MaxLine)
	number := 0
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			number++
		}
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return i.late(ctx, number, timeout)
			}
			if ctx.Err() != nil {
				return i.drain(ctx, ErrOutcomeUnknown)
			}
			return i.drain(ctx, invalid("body", "could not be read after line %d: %v", number, err))
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			i.out.Lines++
			if long {
				i.refuse(number, invalid("", "is longer than %d bytes", MaxLine))
			} else if err := i.line(ctx, number, line); err != nil {
				return i.drain(ctx, err)
			}
		}
		if err == io.EOF {
			break
		}
	}
	if i.out.Lines == 0 && (i.gathering == nil || !i.gathering.mode.AllowEmpty) {
		if i.gathering != nil && !i.gathering.mode.Scope.none() {
			return invalid("body", "is empty; with allow_empty=true that removes all of the scope")
		}
		return invalid("body", "is empty; one JSON object a line is expected")
	}
	if err := i.flush(ctx); err != nil {
		return i.drain(ctx, err)
	}
	if err := i.settle(ctx, 0); err != nil {
		return i.drain(ctx, err)
	}
	return nil
}

// drainWithin is how long the store has to confirm what was sent to it before
// the body was late.
const drainWithin = 2 * time.Second

// late ends an import whose body stopped coming at line number.
func (i *importer) late(ctx context.Context, number int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	for len(i.flight) > 0 {
		if err := i.settle(ctx, -1); err != nil {
			return i.drain(ctx, err)
		}
	}
	upTo := ""
	if i.out.Last > 0 {
		upTo = fmt.Sprintf(", the last at revision %d", i.out.Last)
	}
	return fmt.Errorf("%w: of what came within %s, to line %d, %d routes are stored%s; send all again with Idempotency-Key: %s and a longer timeout= (up to %s) to go on from there",
		ErrBodyLate, timeout, number, i.out.Accepted, upTo, i.key, MaxTimeout)
}

// line takes in one line; the error is about the import as a whole.
func (i *importer) line(ctx context.Context, number int, line []byte) error {
	e, err := i.decode(line)
	if err == nil {
		err = supported(e)
	}
	if err != nil {
		i.refuse(number, err)
		return nil
	}
	var id eventlog.RouteID
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		id = e.RouteID
	case *eventlog.RouteWithdrawn:
		id = e.RouteID
	default:
		item, ok := topologyItem(e)
		if !ok {
			i.refuse(number, invalid("kind", "must be of a route, router or link; POST /v1/commits takes the others"))
			return nil
		}
		if i.gathering != nil {
			return i.gather(number, line, i.gathering.addItem(e, item))
		}
		return i.item(ctx, number, line, e, item)
	}
	if i.gathering != nil {
		return i.gather(number, line, i.gathering.add(e))
	}
	if err := i.apart(ctx, false); err != nil {
		return err
	}
	_, again := i.seen[id.Destination]
	if len(i.cur.events) == ChunkEvents || again && i.holds(id) {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	i.seen[id.Destination] = struct{}{}
	i.add(number, line, e)
	return nil
}

// gather ends a line of an import that is one commit; err says what is wrong with it.
func (i *importer) gather(number int, line []byte, err error) error {
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	if err != nil {
		i.refuse(number, err)
		return nil
	}
	i.hash.Write(line)
	i.hash.Write([]byte{'\n'})
	return nil
}

func (i *importer) add(number int, line []byte, e eventlog.Event) {
	i.hash.Write(line)
	i.hash.Write([]byte{'\n'})
	i.cur.events = append(i.cur.events, e)
	i.cur.lines = append(i.cur.lines, number)
}

// item takes in a line about a router or link.
func (i *importer) item(ctx context.Context, number int, line []byte, e eventlog.Event, item eventlog.LinkID) error {
	_, removal := e.(*eventlog.RouterRemoved)
	if err := i.apart(ctx, removal); err != nil {
		return err
	}
	if _, again := i.items[item]; again || len(i.cur.events) == ChunkEvents {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	if i.items == nil {
		i.items = map[eventlog.LinkID]struct{}{}
	}
	i.items[item] = struct{}{}
	i.add(number, line, e)
	return nil
}

// apart ends the chunk and all before it where removals of routers begin or end.
func (i *importer) apart(ctx context.Context, removal bool) error {
	if i.alone == removal {
		return nil
	}
	if err := i.flush(ctx); err != nil {
		return err
	}
	i.alone = removal
	return i.settle(ctx, 0)
}

// topologyItem is the identity of the router or link that an event is about; a
// router is a link without a second end. false: it is about neither.
func topologyItem(e eventlog.Event) (eventlog.LinkID, bool) {
	switch e := e.(type) {
	case *eventlog.RouterSet:
		return eventlog.LinkID{A: e.Router}, true
	case *eventlog.RouterRemoved:
		return eventlog.LinkID{A: e.Router}, true
	case *eventlog.LinkSet:
		return e.LinkID, true
	case *eventlog.LinkRemoved:
		return e.LinkID, true
	}
	return eventlog.LinkID{}, false
}

func (i *importer) holds(id eventlog.RouteID) bool {
	for _, e := range i.cur.events {
		switch e := e.(type) {
		case *eventlog.RouteAnnounced:
			if e.RouteID == id {
				return true
			}
		case *eventlog.RouteWithdrawn:
			if e.RouteID == id {
				return true
			}
		}
	}
	return false
}

var (
	kindFirst    = []byte(`{"kind":`)
	kindWord     = []byte(`"kind"`)
	withdrawWord = []byte(`"withdraw"`)
	announced    = []byte(`{"kind":"route.announced",`)
	withdrawn    = []byte(`{"kind":"route.withdrawn",`)
)

// decode reads a line in any of its three forms.
func (i *importer) decode(line []byte) (eventlog.Event, error) {
	if line[0] != '{' {
		return nil, invalid("", "is not a JSON object")
	}
	if bytes.HasPrefix(line, kindFirst) {
		return i.decoder.Event(line)
	}
	// Most lines are plain routes; what is not one fails here, and only then is
	// the line searched for what it may be.
	if e, err := i.as(announced, line); err == nil {
		return e, nil
	}
	if bytes.Contains(line, kindWord) {
		return i.decoder.Event(line)
	}
	if bytes.Contains(line, withdrawWord) {
		rest, found, err := cutWithdraw(line)
		if err != nil {
			return nil, err
		}
		if found {
			return i.as(withdrawn, rest)
		}
	}
	return i.as(announced, line)
}

// as decodes an object as the kind that it does not name itself.
func (i *importer) as(kind, line []byte) (eventlog.Event, error) {
	rest := bytes.TrimLeft(line[1:], " \t\r")
	i.scratch = append(i.scratch[:0], kind...)
	if len(rest) > 0 && rest[0] == '}' {
		i.scratch = i.scratch[:len(i.scratch)-1]
	}
	i.scratch = append(i.scratch, rest...)
	return i.decoder.Event(i.scratch)
}

// cutWithdraw takes the member "withdraw":true out of an object; false: the
// text occurs only as a value.
func cutWithdraw(line []byte) (out []byte, found bool, err error) {
	for at := 0; ; {
		next := bytes.Index(line[at:], withdrawWord)
		if next < 0 {
			return nil, false, nil
		}
		start := at + next
		at = start + len(withdrawWord)
		rest, colon := bytes.CutPrefix(bytes.TrimLeft(line[at:], " \t"), []byte{':'})
		if !colon {
			continue
		}
		rest, yes := bytes.CutPrefix(bytes.TrimLeft(rest, " \t"), []byte("true"))
		if !yes {
			return nil, true, invalid("withdraw", "must be true where it is given")
		}
		before := bytes.TrimRight(line[:start], " \t")
		rest = bytes.TrimLeft(rest, " \t")
		// One of the commas beside the member goes with it; that they are where
		// they must be, nobody sees afterwards.
		first, comma := bytes.HasSuffix(before, []byte{'{'}), bytes.HasPrefix(rest, []byte{','})
		last, previous := bytes.HasPrefix(rest, []byte{'}'}), bytes.HasSuffix(before, []byte{','})
		switch {
		case comma && (first || previous):
			rest = rest[1:]
		case last && previous:
			before = before[:len(before)-1]
		case !last || !first:
			return nil, true, invalid("withdraw", "is not well formed JSON: a comma is missing beside it")
		}
		return append(bytes.Clone(before), rest...), true, nil
	}
}

func (i *importer) refuse(line int, err error) {
	i.out.RefusedCount++
	if len(i.out.Refused) == MaxRefused {
		return
	}
	r := Refused{Line: line, Reason: err.Error()}
	var f *eventlog.FieldError
	var u *UnsupportedError
	switch {
	case errors.As(err, &f):
		r.Field, r.Reason = f.Field, f.Reason
	case errors.As(err, &u):
		r.Field, r.Reason = u.Field, "not supported yet"
	}
	i.out.Refused = append(i.out.Refused, r)
}

// flush sends the chunk being built, waiting for room first.
func (i *importer) flush(ctx context.Context) error {
	if len(i.cur.events) == 0 {
		return nil
	}
	copy(i.cur.request[:], i.hash.Sum(nil))
	c := i.cur
	// What the state may refuse is sent again without it: nothing else is in flight then.
	judged := slices.ContainsFunc(c.events, mayBeRefused)
	limit := inFlightEvents - len(c.events)
	if judged {
		limit = 0
	}
	if err := i.settle(ctx, limit); err != nil {
		return err
	}
	if i.m.Pace != nil && c.n > 1 {
		if err := i.m.Pace(ctx); err != nil {
			return err
		}
	}
	if err := i.send(ctx, &c); err != nil {
		return err
	}
	if c.sent != nil {
		i.flight = append(i.flight, c)
		i.pending += len(c.events)
	}
	i.reset()
	if judged {
		return i.settle(ctx, 0)
	}
	return nil
}

// mayBeRefused: the state may have nothing but the route itself to resolve it.
func mayBeRefused(e eventlog.Event) bool {
	r, ok := e.(*eventlog.RouteAnnounced)
	return ok && projector.HoldsItsNextHop(r)
}

// send submits a chunk; where the appender is full it waits for the chunks
// before it, whose end makes room, or a little. Lines that the appender finds
// fault with are taken out.
func (i *importer) send(ctx context.Context, c *chunk) error {
	pause := time.Millisecond
	for len(c.events) > 0 {
		sent, err := i.s.appender.Submit(i.change(c))
		if err == nil {
			c.sent = sent
			return nil
		}
		if !errors.Is(err, ErrOverloaded) {
			if !i.drop(c, err) {
				return err
			}
			continue
		}
		if len(i.flight) > 0 {
			if err := i.settle(ctx, 0); err != nil {
				return err
			}
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
	return nil
}

// drop takes the line that err is about out of c; false: it is about none.
func (i *importer) drop(c *chunk, err error) bool {
	at, inner, ok := eventAtFault(err, len(c.events))
	if !ok {
		return false
	}
	i.refuse(c.lines[at], inner)
	c.events = append(append([]eventlog.Event(nil), c.events[:at]...), c.events[at+1:]...)
	c.lines = append(append([]int(nil), c.lines[:at]...), c.lines[at+1:]...)
	return true
}

func (i *importer) change(c *chunk) Change {
	return Change{
		Actor: i.m.Actor, Source: i.m.Source, Reason: i.m.Reason, Caller: i.m.Caller,
		ID: i.key + "/" + strconv.Itoa(c.n), Request: c.request, Events: c.events,
		Force: i.m.Care != nil && i.m.Care.Force,
	}
}

// settle waits for the oldest chunks until at most limit events are in flight.
func (i *importer) settle(ctx context.Context, limit int) error {
	for len(i.flight) > 0 && (i.pending > limit || len(i.flight) >= inFlightCommits) {
		c := i.flight[0]
		i.flight = i.flight[1:]
		i.pending -= len(c.events)
		if err := i.take(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// take waits for a chunk. A line that only the state refuses is taken out and
// the rest sent again.
func (i *importer) take(ctx context.Context, c *chunk) error {
	for c.sent != nil {
		a, err := c.sent.Wait(ctx)
		c.sent = nil
		if err == nil {
			// A chunk that was sent again comes after those that were behind it.
			if at := a.Position.Revision; i.out.First == 0 || at < i.out.First {
				i.out.First = at
			}
			if at := a.Position.Revision; at > i.out.Last {
				i.out.Last, i.epoch = at, a.Position.Epoch
			}
			i.out.Replayed = i.out.Replayed || a.Replayed
			i.out.Accepted += len(c.events)
			return nil
		}
		if !i.drop(c, err) {
			return err
		}
		if err := i.send(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// eventAtFault reads the index out of a field such as events[3].next_hop.
func eventAtFault(err error, n int) (int, error, bool) {
	var f *eventlog.FieldError
	if !errors.As(err, &f) {
		return 0, nil, false
	}
	rest, ok := strings.CutPrefix(f.Field, "events[")
	index, field, ok2 := strings.Cut(rest, "]")
	at, err := strconv.Atoi(index)
	if !ok || !ok2 || err != nil || at < 0 || at >= n {
		return 0, nil, false
	}
	return at, &eventlog.FieldError{Field: strings.TrimPrefix(field, "."), Reason: f.Reason}, true
}

// drain ends an import that cannot go on: what is in flight is still counted.
func (i *importer) drain(ctx context.Context, cause error) error {
	for len(i.flight) > 0 {
		c := i.flight[0]
		i.flight = i.flight[1:]
		if err := i.take(ctx, &c); err != nil {
			var f *eventlog.FieldError
			if errors.As(cause, &f) {
				cause = fmt.Errorf("%w; and: %w", cause, err)
			}
		}
	}
	return cause
}
