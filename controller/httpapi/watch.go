package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/history"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/projector"
)

var watchParams = []string{"kinds", "router", "within", "prefix", "after", "consistency", "timeout"}

// watchQuery is what a watch is about. Data planes and nodes are not in the log.
type watchQuery struct {
	service.WatchQuery
	dataplanes, nodes bool
	text              string // tells the rendering of one query from that of another
}

const watchKinds = "commits, routes, topology, kv, fib, dataplanes and nodes"

func readWatchQuery(q *query) (w watchQuery, err error) {
	kinds := q.get("kinds")
	if !q.has("kinds") {
		kinds = "commits"
	}
	for kind := range strings.SplitSeq(kinds, ",") {
		switch kind {
		case "commits":
			w.Commits = true
		case "routes":
			w.Routes = true
		case "topology":
			w.Topology = true
		case "kv":
			w.Keys = true
		case "fib":
			w.FIB = true
		case "dataplanes":
			w.dataplanes = true
		case "nodes":
			w.nodes = true
		default:
			return w, fieldError("kinds", "must be some of %s, with commas", watchKinds)
		}
	}
	if w.Router, err = q.router(""); err != nil {
		return w, err
	}
	if w.FIB && (w.Router == "" || w.Router == eventlog.AllRouters) {
		return w, fieldError("router", "must name the router whose FIB is watched")
	}
	if w.Within, err = q.prefix("within"); err != nil {
		return w, err
	}
	if w.Prefix = q.get("prefix"); w.Prefix != "" {
		if err := eventlog.CheckKey(w.Prefix); err != nil {
			return w, named("prefix", err)
		}
	}
	w.text = fmt.Sprint(w.Commits, w.Routes, w.Topology, w.Keys, w.Router, w.Within, w.Prefix)
	return w, nil
}

// watch is a stream of what happens as server-sent events; see streamWatch for
// the ids. timeout ends it once it has begun, without it only the client or the node's stop does.
func (s *Server) watch(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, watchParams)
	if err != nil {
		return err
	}
	wq, err := readWatchQuery(&q)
	if err != nil {
		return err
	}
	how, skip, err := readResumption(r, &q)
	if err != nil {
		return err
	}
	return s.streamed(c, &how, func(ctx context.Context) (eventlog.Position, func(context.Context, *stream) error, error) {
		w, err := s.service.Watch(ctx, how, wq.WatchQuery)
		if err != nil {
			return eventlog.Position{}, nil, err
		}
		if skip > 0 {
			if err := s.delivered(ctx, r, how, &wq, skip); err != nil {
				return eventlog.Position{}, nil, err
			}
		}
		p := &watchPump{server: s, query: &wq, watch: w, base: w.Position().Revision, skip: skip}
		return w.Position(), p.run, nil
	})
}

// delivered refuses an id that this watch cannot have given: behind its revision
// are not so many messages. Who resumes with it would miss what there is, unseen.
// Cost: reads of the log what would be skipped.
func (s *Server) delivered(ctx context.Context, r *http.Request, how service.Read, wq *watchQuery, skip int) error {
	name := "after"
	if r.Header.Get("Last-Event-ID") != "" {
		name = "Last-Event-ID"
	}
	q := wq.WatchQuery
	q.FIB = false
	w, err := s.service.Watch(ctx, how, q)
	if err != nil {
		return err
	}
	p := &watchPump{server: s, query: wq, watch: w}
	base := w.Position().Revision
	for n := 0; w.Behind(); {
		step, err := w.Next(ctx)
		if err != nil {
			return err
		}
		for i := range step.Commits {
			c := &step.Commits[i]
			n += len(p.messages(c))
			switch {
			case wq.FIB && n >= skip, !wq.FIB && c.Revision == base+1 && n > skip:
				return nil
			case !wq.FIB:
				return fieldError(name, "is not one that this watch gives: behind its revision are %d messages", n)
			}
		}
		if step.Level {
			break
		}
	}
	return fieldError(name, "is not one that this watch gives: behind its revision are fewer messages")
}

// readResumption reads where a watch goes on: behind a position, and how many
// messages behind it were delivered. A browser resumes with the header, at the
// address that it began with.
func readResumption(r *http.Request, q *query) (how service.Read, skip int, err error) {
	if how, err = q.read(); err != nil {
		return how, 0, err
	}
	name, v := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if v == "" {
		if name, v = "after", q.get("after"); !q.has("after") {
			return how, 0, nil
		}
		if v == "0" {
			v = "1" // from the beginning: the first commit only begins the log
		}
	}
	v, more, cut := strings.Cut(v, "+")
	if cut {
		n, err := number(more)
		if err != nil || n > 1<<40 {
			return how, 0, fieldError(name, "must be a revision, or a position as the stream gives")
		}
		skip = int(n)
	}
	err = readPlace(name, v, &how)
	return how, skip, err
}

// streamed answers with a stream of events that begin opens, within the bounds
// of watches.
func (s *Server) streamed(c echo.Context, how *service.Read, begin func(ctx context.Context) (eventlog.Position, func(context.Context, *stream) error, error)) error {
	r := c.Request()
	limit := how.Timeout
	how.Timeout = 0
	if s.watchers.Add(1) > maxWatchers {
		s.watchers.Add(-1)
		return fmt.Errorf("%w: %d watches are in progress on this node", service.ErrOverloaded, maxWatchers)
	}
	defer s.watchers.Add(-1)
	actor := authenticated(r)
	if !s.watching.take(actor, 1, actorWatchers) {
		return fmt.Errorf("%w: %d watches of %s are in progress on this node", service.ErrOverloaded, actorWatchers, actor)
	}
	defer s.watching.give(actor, 1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	at, run, err := begin(ctx) // as long as any read may take
	if err != nil {
		return err
	}
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	h := c.Response().Header()
	s.setPosition(h, at)
	h["Content-Type"] = eventStreamType
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Accel-Buffering"] = []string{"no"}
	c.Response().WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	held := s.leash(r, reads)
	go func() { // ends with the call
		look := time.NewTicker(readmitEvery)
		defer look.Stop()
		for {
			select {
			case <-s.stopping:
				cancel()
			case now := <-look.C:
				if !held.holds(now) {
					cancel()
				}
				continue
			case <-ctx.Done():
			}
			return
		}
	}()
	b := getBuffer()
	defer putBuffer(b)
	out := &stream{c: c, b: b}
	b.b = append(b.b, "retry: 1000\n"...)
	return run(ctx, out)
}

// watchPump writes what a watch delivers.
//
// The id of a message says what was delivered when it is: a position, or
// <position>+<n>: n messages of the log behind it, too. The last message of a
// commit has the commit's own position, so that who resumes gets each message
// once. Where a FIB is watched, positions are those up to which it was told:
// messages of the log have the position told before them and their number
// behind it, and the FIB's difference, which follows them, has its own.
type watchPump struct {
	server *Server
	query  *watchQuery
	watch  *service.Watch
	base   eventlog.Revision // the position of ids
	n      int               // messages behind it that were delivered, or skipped
	skip   int               // messages behind it that are not delivered again

	planes, nodes status
}

// statusPace is how often what is not in the log is looked at.
const statusPace = time.Second

func (p *watchPump) run(ctx context.Context, out *stream) error {
	p.beat(out.b)
	quiet := time.Now()
	looks := p.query.dataplanes || p.query.nodes
	next := time.Now() // when the statuses are looked at
	for {
		if looks && !time.Now().Before(next) {
			p.statuses(ctx, out.b)
			next = time.Now().Add(statusPace)
		}
		if len(out.b.b) > 0 {
			if !out.flush() {
				return nil
			}
			out.c.Response().Flush()
			quiet = time.Now()
		}
		patience := p.server.heartbeat - time.Since(quiet)
		if looks {
			patience = min(patience, time.Until(next))
		}
		waiting, done := context.WithTimeout(ctx, max(patience, 0))
		step, err := p.watch.Next(waiting)
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			if time.Since(quiet) >= p.server.heartbeat {
				p.beat(out.b)
			}
			continue
		case err != nil:
			out.b.b = append(append(append(out.b.b, ": ended: "...), oneLine(err.Error())...), "\n\n"...)
			out.flush()
			return nil
		}
		if !p.step(out, &step) {
			return nil
		}
	}
}

// beat is a heartbeat, with the id that is due.
func (p *watchPump) beat(b *buffer) {
	p.id(b, p.base, max(p.n, p.skip))
	b.b = append(b.b, ": heartbeat\n\n"...)
}

func (p *watchPump) id(b *buffer, base eventlog.Revision, n int) {
	b.b = append(append(b.b, "id: "...), p.watch.PositionOf(base).String()...)
	if n > 0 {
		b.b = strconv.AppendInt(append(b.b, '+'), int64(n), 10)
	}
	b.b = append(b.b, '\n')
}

// sharedMost is how many bytes of commits are rendered as a whole, for all
// watchers of the same.
const sharedMost = 4 << 20

// step writes a step; false: the client is gone.
func (p *watchPump) step(out *stream, step *service.WatchStep) bool {
	size := 0
	for i := range step.Commits {
		size += step.Commits[i].Bytes()
	}
	if !p.query.FIB && p.base == step.After && p.n == 0 && p.skip == 0 && size <= sharedMost {
		if len(step.Commits) > 0 {
			key := renderKey{p.query.text, p.watch.PositionOf(step.After), step.To}
			for raw := p.server.rendered.get(key, func() []byte { return p.render(step) }); len(raw) > 0; {
				n := min(len(raw), flushAt)
				out.b.b = append(out.b.b, raw[:n]...)
				if raw = raw[n:]; !out.step() {
					return false
				}
			}
		}
		p.base = step.To
		return true
	}
	for i := range step.Commits {
		if !p.commit(out.b, &step.Commits[i], out.step) {
			return false
		}
	}
	if !p.query.FIB {
		p.base, p.n, p.skip = step.To, 0, 0
		return true
	}
	if !step.Level {
		return true
	}
	if step.FIB != nil && !p.fib(out, step) {
		return false
	}
	p.base, p.n, p.skip = step.To, 0, 0
	return true
}

// render gives the messages of a step from its beginning.
func (p *watchPump) render(step *service.WatchStep) []byte {
	b := getBuffer()
	defer putBuffer(b)
	own := *p
	for i := range step.Commits {
		own.commit(b, &step.Commits[i], func() bool { return true })
	}
	return append([]byte(nil), b.b...)
}

// maxTogether is how many events one message holds at most.
const maxTogether = 128

// commit writes the messages of a commit: about itself, then its events by kind.
func (p *watchPump) commit(b *buffer, c *history.Commit, written func() bool) bool {
	if !p.query.FIB && p.base < c.Revision-1 && p.n == 0 { // nothing lay between
		p.base = c.Revision - 1
	}
	messages := p.messages(c)
	for i, m := range messages {
		p.n++
		if p.n <= p.skip {
			continue
		}
		if i == len(messages)-1 && !p.query.FIB {
			p.id(b, c.Revision, 0)
		} else {
			p.id(b, p.base, p.n)
		}
		p.message(b, c, m)
		if !written() {
			return false
		}
	}
	if !p.query.FIB && len(messages) > 0 {
		p.base, p.n, p.skip = c.Revision, 0, 0
	}
	return true
}

// message is one of a commit's: its kind, and the events it holds.
type message struct {
	kind   string
	events []eventlog.Event
}

// messages are those of a commit that the watch is about, always the same.
func (p *watchPump) messages(c *history.Commit) []message {
	var out []message
	if p.query.Commits && p.query.Concerns(c.Events) {
		out = append(out, message{kind: "commits"})
	}
	for _, kind := range [...]string{"routes", "topology", "kv"} {
		var list []eventlog.Event
		for _, e := range c.Events {
			if k, ok := p.query.Admits(e); ok && k == kind {
				list = append(list, e)
				if len(list) == maxTogether || kind == "kv" && len(list) == 8 { // values may be long
					out = append(out, message{kind, list})
					list = nil
				}
			}
		}
		if list != nil {
			out = append(out, message{kind, list})
		}
	}
	return out
}

func (p *watchPump) message(b *buffer, c *history.Commit, m message) {
	b.b = append(append(append(b.b, "event: "...), m.kind...), "\ndata: "...)
	o := b.object()
	commitMembers(o, c)
	if m.events != nil {
		o.list("events")
		for _, e := range m.events {
			o.b = append(eventlog.AppendEvent(o.b, e), ',')
		}
		o.endList()
	}
	o.end()
	b.b = append(b.b, '\n', '\n')
}

// fib writes how the router's table changed up to the step's end, in parts: the
// last has the id. Who is cut before it gets all of them again.
func (p *watchPump) fib(out *stream, step *service.WatchStep) bool {
	b := out.b
	part, n := 0, 0
	var o object
	open := func() {
		b.b = append(b.b, "event: fib\ndata: "...)
		o = b.object()
		o.str("router", string(p.query.Router))
		o.uint("from", uint64(p.base))
		o.uint("revision", uint64(step.To))
		o.uint("part", uint64(part))
		o.list("changes")
		n = 0
	}
	seal := func(last bool) bool {
		o.endList()
		o.bool("last", last)
		o.end()
		b.b = append(b.b, '\n')
		if last {
			p.id(b, step.To, 0)
		}
		b.b = append(b.b, '\n')
		part++
		return out.step()
	}
	any := false
	put := func(l history.Line) bool {
		switch {
		case !any:
			any = true
			open()
		case n == maxTogether:
			if !seal(false) {
				return false
			}
			open()
		}
		diffLine(b, &l)
		b.next()
		n++
		return true
	}
	for i := range step.FIB.Groups {
		if !put(history.Line{Router: p.query.Router, Group: &step.FIB.Groups[i]}) {
			return false
		}
	}
	for c := range step.FIB.Entries() {
		if p.within(&c) && !put(history.Line{Router: p.query.Router, Entry: &c}) {
			return false
		}
	}
	return !any || seal(true)
}

func (p *watchPump) within(c *projector.EntryChange) bool {
	w := p.query.Within
	return !w.IsValid() || w.Bits() <= c.Prefix.Bits() && w.Contains(c.Prefix.Addr())
}
