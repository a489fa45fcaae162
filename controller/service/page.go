package service

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// Query selects stored routes; zero members do not limit.
type Query struct {
	RouteFilter
	Within   netip.Prefix
	Covering netip.Prefix // an address is a prefix of full length
	Tag      string       // one of those that the route has
}

func (q *Query) admits(r *eventlog.RouteAnnounced) bool {
	return q.RouteFilter.admits(r) && (q.Tag == "" || slices.Contains(r.Tags, q.Tag))
}

// filter is admits; nil: every route is admitted.
func (q *Query) filter() func(*eventlog.RouteAnnounced) bool {
	if q.RouteFilter == (RouteFilter{}) && q.Tag == "" {
		return nil
	}
	return q.admits
}

// digest tells a cursor of one query from that of another.
func (q Query) digest() uint32 {
	h := fnv.New32a()
	fmt.Fprint(h, q.Router, "|", q.NextHop, "|", q.Within, "|", q.Covering)
	if q.Tag != "" {
		fmt.Fprint(h, "|", q.Tag)
	}
	return h.Sum32()
}

// Page is where a listing goes on: a state and the place after the last item.
type Page struct {
	View
	query Query
	past  eventlog.Revision // that the listing named
	after netip.Prefix
	skip  int          // candidates of the first destination that were already shown
	at    netip.Prefix // the candidate that was yielded last
	n     int
	mark  netip.Prefix // the place that Next continues after
	done  int
}

// Page opens a listing of routes, local by default. cursor is empty or what
// Next gave; all pages of a listing show one revision. Errors: ErrGone for a cursor whose state is
// no longer kept, ErrUnknownRouter.
func (s *Service) Page(ctx context.Context, r Read, q Query, cursor string) (*Page, error) {
	r, err := s.settled(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &Page{query: q, past: r.At}
	if cursor == "" {
		v, err := s.View(ctx, r, false)
		if err != nil {
			return nil, err
		}
		p.View = v
	} else if err := p.resume(ctx, s, r, cursor); err != nil {
		return nil, err
	}
	if q.Router != "" {
		if err := s.checkRouter(p.State, q.Router); err != nil {
			return nil, p.absent(r, err)
		}
	}
	return p, nil
}

// Routes iterates over what remains, in order of prefix and identity.
func (p *Page) Routes() iter.Seq[*projector.Candidate] {
	return func(yield func(*projector.Candidate) bool) {
		if p.after.IsValid() && p.skip > 0 {
			if d, ok := p.State.Destination(p.after); ok {
				if !p.each(d, p.skip, yield) {
					return
				}
			}
		}
		for d := range p.destinations() {
			if !p.each(d, 0, yield) {
				return
			}
		}
	}
}

func (p *Page) destinations() iter.Seq[projector.Destination] {
	if !p.query.Covering.IsValid() {
		return p.State.Select(p.query.Within, p.after, p.query.filter())
	}
	return func(yield func(projector.Destination) bool) {
		list := p.State.Covering(p.query.Covering)
		for i := range list {
			d := list[len(list)-1-i] // shortest first: the order of prefixes
			if p.query.Within.IsValid() && (d.Prefix.Bits() < p.query.Within.Bits() || !p.query.Within.Overlaps(d.Prefix)) {
				continue
			}
			if p.after.IsValid() && d.Prefix.Bits() <= p.after.Bits() {
				continue
			}
			if !yield(d) {
				return
			}
		}
	}
}

func (p *Page) each(d projector.Destination, from int, yield func(*projector.Candidate) bool) bool {
	for i := from; i < len(d.Candidates); i++ {
		c := &d.Candidates[i]
		if !p.query.admits(&c.RouteAnnounced) {
			continue
		}
		p.at, p.n = d.Prefix, i+1
		if !yield(c) {
			return false
		}
	}
	return true
}

// Skip passes over the next n routes. Cost: some nanoseconds a destination.
func (p *Page) Skip(n int) {
	if p.skip == 0 && !p.query.Covering.IsValid() {
		var passed int
		p.after, passed = p.State.Skip(p.query.Within, p.after, n, p.query.filter())
		n -= passed
	}
	if n <= 0 {
		return
	}
	moved := false
	for range p.Routes() {
		moved = true
		if n--; n == 0 {
			break
		}
	}
	if moved {
		p.after, p.skip = p.at, p.n
	}
}

// Count is how many routes remain. Cost: some nanoseconds a destination.
func (p *Page) Count() int {
	n := 0
	if p.skip == 0 && !p.query.Covering.IsValid() {
		_, n = p.State.Skip(p.query.Within, p.after, math.MaxInt, p.query.filter())
		return n
	}
	for range p.Routes() {
		n++
	}
	return n
}

// Mark makes the route yielded last the one that Next continues after.
func (p *Page) Mark() { p.mark, p.done = p.at, p.n }

// Next keeps the page's state for a while and gives the cursor that continues
// after the mark. Errors: ErrOverloaded where too many states are kept.
func (p *Page) Next(s *Service) (string, error) {
	if p.past == 0 { // a past state shares little with the newest and is rebuilt where need be
		if err := s.pins.keep(p.State); err != nil {
			return "", err
		}
	}
	at := p.State.Position()
	stale := 0
	if p.Stale {
		stale = 1
	}
	text := fmt.Sprintf("1 %d %d %d %d %s %d", p.digest(), at.Epoch, at.Revision, stale, p.mark, p.done)
	return base64.RawURLEncoding.EncodeToString([]byte(text)), nil
}

// digest tells a cursor of one listing from that of another.
func (p *Page) digest() uint32 { return p.query.digest() ^ uint32(p.past)*2654435761 }

func (p *Page) resume(ctx context.Context, s *Service, r Read, cursor string) error {
	bad := invalid("cursor", "is not one that a listing gave")
	if len(cursor) > 512 {
		return bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return bad
	}
	f := strings.Split(string(raw), " ")
	if len(f) != 7 || f[0] != "1" {
		return bad
	}
	var n [5]uint64
	for i, text := range []string{f[1], f[2], f[3], f[4], f[6]} {
		if n[i], err = strconv.ParseUint(text, 10, 63); err != nil {
			return bad
		}
	}
	prefix, err := eventlog.ParsePrefix(f[5])
	if err != nil || n[4] > 1<<30 {
		return bad
	}
	if uint32(n[0]) != p.digest() {
		return invalid("cursor", "belongs to a listing with other filters")
	}
	p.after, p.skip = prefix, int(n[4])
	if p.past > 0 {
		p.View, err = s.View(ctx, r, false)
		return err
	}
	st, err := s.pins.find(n[1], eventlog.Revision(n[2]))
	if err != nil {
		return err
	}
	p.View = View{State: st, Stale: n[3] == 1}
	return nil
}
