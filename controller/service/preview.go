package service

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// Limits of a preview; what is beyond them is counted.
const (
	PreviewItems   = 1000 // of intent
	PreviewEntries = 100  // of a router, and as many groups
	PreviewRouters = 256
)

// Preview is what a change would do: the difference of intent and of FIBs.
type Preview struct {
	Before eventlog.Position // the state that it was judged at
	Stale  bool              // which may not be the newest
	Digest projector.Digest  // the state digest after it
	Events int
	Forced []string // guards and freezes that it passes by force

	Added, Changed, Removed, Same int
	Items                         []ItemChange // the first PreviewItems that differ
	Routers                       []*projector.Effect
	RoutersLeftOut                int
	Warnings                      []projector.Warning
}

// ItemChange is an item of intent before and after; nil: it is not there.
type ItemChange struct{ Before, After eventlog.Event }

// NoChange reports that nothing at all would change.
func (p *Preview) NoChange() bool { return p.Events == 0 }

// Trier is an Appender that can say what a change would do.
type Trier interface {
	// Try judges a change as if it came next, and folds it beside the state:
	// nothing is stored. Errors are those of Append that are about the change.
	Try(c Change) (*appender.Trial, error)
}

func (w *writer) Try(c Change) (*appender.Trial, error) {
	r, err := w.request(c)
	if err != nil {
		return nil, err
	}
	t, err := w.a.Try(r)
	return t, translate(err)
}

// preview is what c would do at the newest state, made sure of as a read is.
func (s *Service) preview(ctx context.Context, m *Mutation, c Change) (*Preview, error) {
	trier, ok := s.appender.(Trier)
	if !ok {
		return nil, &UnsupportedError{"dry_run"}
	}
	timeout := m.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	v, err := s.View(ctx, Read{Timeout: timeout}, true)
	if err != nil {
		return nil, err
	}
	t, err := trier.Try(c)
	if err != nil {
		return nil, err
	}
	p := s.previewOf(t)
	p.Stale = v.Stale
	return p, nil
}

func (s *Service) previewOf(t *appender.Trial) *Preview {
	p := &Preview{Before: t.Before.Position(), Digest: t.After.Digest(), Events: len(t.Commit.Events), Forced: t.Commit.Forced}
	if len(t.Commit.Events) == 0 {
		return p
	}
	p.intent(t)
	p.Warnings = slices.Concat(freezesAll(t.Commit.Events), unusable(t.Commit.Events), s.strays(t))
	touched, beyond := projector.Destinations(t.Commit.Events)
	if len(touched) == 0 && !beyond {
		return p
	}
	c := projector.Compare(t.Before, t.After, touched, PreviewEntries)
	routers, more := s.affected(t.Before, t.After)
	p.RoutersLeftOut = more
	management := s.managed(t.Before)
	for _, id := range routers {
		e, _ := c.Effect(id, nil)
		p.Routers = append(p.Routers, e)
	}
	c.Examples(p.Routers)
	for _, e := range p.Routers {
		if e.Digest != e.DigestBefore {
			p.Warnings = append(p.Warnings, c.Warnings(e, management)...)
		}
	}
	return p
}

// intent compares the items that the events are about.
func (p *Preview) intent(t *appender.Trial) {
	for _, e := range t.Commit.Events {
		before, after := t.Before.Item(e).Event, t.After.Item(e).Event
		switch {
		case before == nil && after == nil:
			p.Same++
			continue
		case before == nil:
			p.Added++
		case after == nil:
			p.Removed++
		case sameEvent(before, after):
			p.Same++
			continue
		default:
			p.Changed++
		}
		if len(p.Items) < PreviewItems {
			p.Items = append(p.Items, ItemChange{before, after})
		}
	}
}

func sameEvent(a, b eventlog.Event) bool {
	if x, ok := a.(*eventlog.RouteAnnounced); ok {
		y, ok := b.(*eventlog.RouteAnnounced)
		return ok && x.RouteID == y.RouteID && equalAttributes(x, y)
	}
	var one, two [512]byte
	return string(eventlog.AppendEvent(one[:0], a)) == string(eventlog.AppendEvent(two[:0], b))
}

// affected lists the routers whose FIBs a preview compares: those that data
// planes subscribe as first, then those that either state knows, "*" where there
// are none. left is how many more there are.
func (s *Service) affected(before, after *projector.State) (routers []eventlog.RouterID, left int) {
	seen := map[eventlog.RouterID]bool{}
	add := func(id eventlog.RouterID) {
		switch {
		case seen[id]:
		case len(routers) == PreviewRouters:
			seen[id] = true
			left++
		default:
			seen[id] = true
			routers = append(routers, id)
		}
	}
	for _, id := range s.planes.Subscribed() {
		add(id)
	}
	for _, st := range []*projector.State{before, after} {
		for r := range st.Routers() {
			add(r.Router)
		}
	}
	if len(routers) == 0 {
		add(eventlog.AllRouters)
	}
	slices.Sort(routers)
	return routers, left
}

// maxManaged bounds the addresses whose paths a preview looks at.
const maxManaged = 256

// managed is the addresses whose path should not change unnoticed: those of the
// cluster's nodes and of links.
func (s *Service) managed(st *projector.State) []netip.Addr {
	var out []netip.Addr
	if s.Management != nil {
		out = append(out, s.Management()...)
	}
	for l := range st.Links() {
		if len(out) >= maxManaged {
			break
		}
		out = append(append(out, l.AddressA...), l.AddressB...)
	}
	return out[:min(len(out), maxManaged)]
}

// try is apply for a mutation that only asks.
func (s *Service) try(ctx context.Context, m *Mutation, c Change) (Receipt, error) {
	p, err := s.preview(ctx, m, c)
	if err != nil {
		return Receipt{}, fmt.Errorf("dry run: %w", err)
	}
	return Receipt{Position: p.Before, NoChange: p.NoChange(), Preview: p}, nil
}

// confirmBy is when the commit of a receipt is to be confirmed; zero: it is not known here.
func (s *Service) confirmBy(r *Receipt) time.Time {
	if c, ok := s.appender.State().Confirmation(r.Position.Revision); ok {
		return time.UnixMilli(c.Deadline)
	}
	return time.Time{}
}
