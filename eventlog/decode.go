package eventlog

import (
	"net/netip"
	"slices"
)

// Decoder reads events and batches. It is reusable, and reuse pays: short
// strings are interned and routes come from an arena. What it returns shares
// no memory with the input and stays valid. A route keeps the arena block it
// lies in alive (up to 64 routes, 12 KiB), so retain copies of single routes.
// Not safe for concurrent use; the zero value is ready.
type Decoder struct {
	// AnyTags: tags and probes come as people write them, in any order, and are returned
	// in the log's. What is stored is not read like that.
	AnyTags bool
	// Skip: of a commit of several events those whose line, without its newline, it
	// is true for are not decoded, and are nil. Bytes are hashed all the same.
	Skip func(line []byte) bool

	s       scanner
	strings map[string]string
	routes  []RouteAnnounced
	events  []Event
	expect  int  // events still to come in the commit being read
	commits int  // commits still to come in the batch being read
	single  bool // one event only: nothing is worth interning
	within  int  // so many timers hold what is read
	chain   chain
	ids     []byte // commit ids of the batch, made one string at its end

	lastRouter, lastInterface, lastOrigin, lastActor string

	actor    string // of the last commit whose line was found right
	timeMS   int64  // the last time of a commit, and how it is written, with its quotes
	timeText [timeLen + 2]byte
}

const (
	maxInterned  = 1 << 16
	routeBlock   = 64
	eventBlock   = 512
	longInterned = 128
)

// DecodeEvent reads one event. The error is a *FieldError that names the
// member at fault. Form is checked as by Validate.
func DecodeEvent(line []byte) (Event, error) {
	d := Decoder{single: true}
	return d.Event(line)
}

// DecodeGiven is DecodeEvent for an event that somebody wrote: see Decoder.AnyTags.
func DecodeGiven(line []byte) (Event, error) {
	d := Decoder{single: true, AnyTags: true}
	return d.Event(line)
}

// DecodeProbes reads the probes of a router as somebody wrote them: a JSON list in
// any order. The error is a *FieldError that names the member, as "probes[1].next_hop".
func DecodeProbes(list []byte) ([]Probe, error) {
	d := Decoder{single: true, AnyTags: true}
	d.s.reset(list)
	probes := d.probes()
	d.s.end()
	if d.s.err != nil {
		return nil, d.s.err
	}
	return probes, nil
}

// Event is DecodeEvent with d's interned strings and arena.
func (d *Decoder) Event(line []byte) (Event, error) {
	d.s.reset(line)
	d.expect = 1
	e := d.event()
	d.s.end()
	if d.s.err != nil {
		return nil, d.s.err
	}
	return e, nil
}

// DecodeRouteBody reads what AppendRouteBody writes: a route.announced
// without destination.
func DecodeRouteBody(line []byte) (RouteAnnounced, error) {
	d := Decoder{single: true}
	d.s.reset(line)
	f := frame{event: true}
	if kind := d.kind(&f); kind != string(KindRouteAnnounced) {
		d.s.fail("kind", "must be route.announced")
	}
	var r RouteAnnounced
	d.route(&f, &r, false)
	d.s.end()
	if d.s.err == nil {
		d.s.check(r.validateBody())
	}
	if d.s.err != nil {
		return RouteAnnounced{}, d.s.err
	}
	return r, nil
}

// DecodeEvents reads event lines, each ended by a newline: the parts of a
// staged commit, joined. The error names the member by line, from 0:
// "events[3].next_hop".
func (d *Decoder) DecodeEvents(lines []byte) ([]Event, error) {
	n := countLines(lines)
	events := make([]Event, 0, n)
	d.s.reset(lines)
	for d.s.i < len(lines) {
		d.expect = n - len(events)
		e := d.event()
		if d.s.err == nil && d.s.peek() != '\n' {
			d.s.fail("", "is not ended by a newline")
		}
		if d.s.err != nil {
			d.s.within("events", len(events))
			return nil, d.s.err
		}
		d.s.i++
		events = append(events, e)
	}
	return events, nil
}

// DecodeEvents is Decoder.DecodeEvents with a fresh Decoder.
func DecodeEvents(lines []byte) ([]Event, error) {
	var d Decoder
	return d.DecodeEvents(lines)
}

// check takes over the error of a validation.
func (s *scanner) check(err error) {
	if err == nil || s.err != nil {
		return
	}
	if f, ok := err.(*FieldError); ok {
		s.fail(f.Field, f.Reason)
	} else {
		s.fail("", err.Error())
	}
}

// intern gives one string for equal short texts.
func (d *Decoder) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if d.single || len(b) > longInterned {
		return string(b)
	}
	if s, ok := d.strings[string(b)]; ok {
		return s
	}
	if d.strings == nil || len(d.strings) >= maxInterned {
		d.strings = make(map[string]string)
	}
	s := string(b)
	d.strings[s] = s
	return s
}

// name reads a text that is likely to come again.
func (d *Decoder) name(field string) string { return d.intern(d.s.text(field)) }

// again is name for a text that is likely to equal the last one of its member.
func (d *Decoder) again(field string, last *string) string {
	b := d.s.text(field)
	if string(b) != *last {
		*last = d.intern(b)
	}
	return *last
}

func (d *Decoder) router(field string) RouterID {
	return RouterID(d.again(field, &d.lastRouter))
}

func (d *Decoder) addr(field string) netip.Addr {
	t := d.s.text(field)
	if d.s.err != nil {
		return netip.Addr{}
	}
	a, reason := parseAddr(t)
	if reason != "" {
		d.s.fail(field, reason)
	}
	return a
}

func (d *Decoder) prefix(field string) netip.Prefix {
	t := d.s.text(field)
	if d.s.err != nil {
		return netip.Prefix{}
	}
	p, reason := parsePrefix(t)
	if reason != "" {
		d.s.fail(field, reason)
	}
	return p
}

// listOf reads a list with one reader an element, at most limit of them.
func listOf[T any](s *scanner, field string, limit int, read func(field string) T) []T {
	if !s.openList(field) {
		return nil
	}
	var list []T
	for s.item(field, len(list) == 0) {
		v := read("")
		if s.err != nil {
			s.within(field, len(list))
			return nil
		}
		if list = append(list, v); len(list) > limit {
			s.fail(field, tooMany(limit))
			return nil
		}
	}
	return list
}

func (d *Decoder) names(field string, limit int) []string {
	return listOf(&d.s, field, limit, d.name)
}

// tags reads a list of tags, which Validate wants sorted and distinct.
func (d *Decoder) tags() []string {
	list := d.names("tags", MaxTags)
	if d.AnyTags {
		slices.Sort(list)
	}
	return list
}

func (d *Decoder) routers(field string) []RouterID {
	return listOf(&d.s, field, maxList, func(f string) RouterID { return RouterID(d.name(f)) })
}

func (d *Decoder) prefixes(field string) []netip.Prefix {
	return listOf(&d.s, field, maxList, d.prefix)
}

// newRoute takes a route from the arena.
func (d *Decoder) newRoute() *RouteAnnounced {
	if len(d.routes) == 0 {
		d.routes = make([]RouteAnnounced, max(1, min(d.expect+d.commits, routeBlock)))
	}
	r := &d.routes[0]
	d.routes = d.routes[1:]
	return r
}

// newEvents takes an empty list with room for n from the arena.
func (d *Decoder) newEvents(n int) []Event {
	if n > len(d.events) {
		if n > eventBlock/4 {
			return make([]Event, 0, n)
		}
		d.events = make([]Event, eventBlock)
	}
	l := d.events[:0:n]
	d.events = d.events[n:]
	return l
}
