package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// MaxAtomic is how many lines an atomic import takes: they are held until the
// commit is stored.
const MaxAtomic = 2_000_000

// ImportMode says how an import is done; the zero value is the plain one.
type ImportMode struct {
	// Atomic makes it one commit: all lines or none.
	Atomic bool
	// Replace: the lines are the desired state of the scope, and only the difference
	// is committed, as one commit.
	Replace bool
	// Topology: what is desired is routers and links, not routes.
	Topology bool
	Scope    Scope
	// AllowEmpty: no line at all empties the scope, and is no mistake.
	AllowEmpty bool
}

// Scope limits what a declarative import is about; zero members do not limit.
type Scope struct {
	Tag    string
	Router eventlog.RouterID
	Origin string
}

func (c *Scope) holds(r *eventlog.RouteAnnounced) bool {
	return (c.Tag == "" || slices.Contains(r.Tags, c.Tag)) && (c.Router == "" || r.Router == c.Router) && (c.Origin == "" || r.Origin == c.Origin)
}

func (c *Scope) holdsRouter(r *eventlog.RouterSet) bool {
	return (c.Tag == "" || slices.Contains(r.Tags, c.Tag)) && (c.Router == "" || r.Router == c.Router)
}

func (c *Scope) holdsLink(l *eventlog.LinkSet) bool {
	return (c.Tag == "" || slices.Contains(l.Tags, c.Tag)) && (c.Router == "" || l.A == c.Router || l.B == c.Router)
}

func (c *Scope) none() bool { return *c == Scope{} }

// ImportAtomic reads what Import does and commits it at once: it becomes visible at
// one revision, or nothing does where a line is refused. The last of several lines
// about one route, router or link counts. With mode.Replace the routes of the scope
// that no line names are withdrawn; with mode.Topology, too, the routers and links
// of the scope that no line names are removed, which is refused while something
// else refers to one of the routers. A dry run is a preview of that, whatever the
// mode. Errors: ErrTooLarge beyond MaxAtomic lines, ErrConflict where a route that
// the difference touches changed while it was made.
func (s *Service) ImportAtomic(ctx context.Context, m *Mutation, mode ImportMode, r io.Reader) (Imported, error) {
	if err := s.requireKnown(m.Require); err != nil {
		return Imported{}, err
	}
	timeout := m.Timeout
	if timeout <= 0 {
		timeout = MaxTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	g := &gathering{mode: mode}
	i := importer{s: s, m: m, key: m.ID, hash: sha256.New(), decoder: eventlog.Decoder{AnyTags: true}, gathering: g}
	if i.key == "" {
		i.key = newKey(time.Now())
	}
	i.out.Key, i.out.ID, i.out.Wait = i.key, i.key, m.Wait
	i.reset()
	if err := i.run(ctx, r, timeout); err != nil {
		return i.out, i.failed(err)
	}
	if i.out.RefusedCount > 0 {
		return i.out, nil // nothing was stored; the caller says which lines
	}
	c := Change{Actor: m.Actor, Source: m.Source, Reason: m.Reason, ID: i.key, Caller: m.Caller, Events: projector.LatestRoutes(g.routes)}
	i.hash.Write(m.Request[:])
	copy(c.Request[:], i.hash.Sum(nil))
	if mode.Replace {
		if _, err := s.View(ctx, Read{Timeout: timeout}, true); err != nil {
			return i.out, i.failed(err)
		}
		if mode.Topology {
			c.Events, c.Basis = s.topologyDifference(g.items, &mode.Scope)
		} else {
			c.Events, c.Basis = s.difference(c.Events, &mode.Scope)
		}
	} else {
		c.Events = append(g.items, c.Events...)
	}
	rec, err := s.importOnce(ctx, m, c)
	rec.Wait = m.Wait
	i.out.Receipt = rec
	if err != nil {
		i.out.ID = i.key
		return i.out, i.failed(err)
	}
	if rec.Preview == nil && !rec.NoChange {
		i.out.First, i.out.Last = rec.Position.Revision, rec.Position.Revision
	}
	i.out.ID, i.out.Accepted, i.out.Changes = i.key, i.out.Lines, len(c.Events)
	return i.out, nil
}

// importOnce commits what an import gathered, waiting where the appender is full.
func (s *Service) importOnce(ctx context.Context, m *Mutation, c Change) (Receipt, error) {
	if len(c.Events) == 0 && (m.Care == nil || !m.Care.DryRun) {
		p := s.Position()
		return Receipt{Position: p, NoChange: true}, nil
	}
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		var rec Receipt
		var err error
		if m.Care != nil {
			rec, err = s.carefully(ctx, m, c, nil)
		} else {
			rec, err = s.commit(ctx, m, c, nil)
		}
		if !errors.Is(err, ErrOverloaded) {
			return rec, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return rec, err
		}
	}
}

// difference is what the newest state lacks of the routes, and what it has too much.
func (s *Service) difference(events []eventlog.Event, scope *Scope) ([]eventlog.Event, *appender.Basis) {
	desired := make([]*eventlog.RouteAnnounced, len(events))
	for i, e := range events {
		desired[i] = e.(*eventlog.RouteAnnounced)
	}
	st := s.appender.State()
	var holds func(*eventlog.RouteAnnounced) bool
	if !scope.none() {
		holds = scope.holds
	}
	out := st.Replace(desired, holds)
	return out, appender.BasisOf(st, out)
}

// topologyDifference is what the newest state lacks of the routers and links, and
// what it has too much.
func (s *Service) topologyDifference(items []eventlog.Event, scope *Scope) ([]eventlog.Event, *appender.Basis) {
	var desired projector.Topology
	for _, e := range items {
		switch e := e.(type) {
		case *eventlog.RouterSet:
			desired.Routers = append(desired.Routers, e)
		case *eventlog.LinkSet:
			desired.Links = append(desired.Links, e)
		}
	}
	st := s.appender.State()
	out := st.ReplaceTopology(desired, scope.holdsRouter, scope.holdsLink)
	return out, appender.BasisOf(st, out)
}

// gathering is the events of an import that is one commit.
type gathering struct {
	mode   ImportMode
	routes []eventlog.Event
	items  []eventlog.Event        // about routers and links: of each the last
	at     map[eventlog.LinkID]int // in items
}

// room is ErrTooLarge, about the import, where it takes no more.
func (g *gathering) room() error {
	if len(g.routes)+len(g.items) == MaxAtomic {
		return fmt.Errorf("%w: an import of one commit takes %d lines", ErrTooLarge, MaxAtomic)
	}
	return nil
}

// add takes the event of a line about a route in. The error is about the line, or
// ErrTooLarge about the import.
func (g *gathering) add(e eventlog.Event) error {
	if err := g.room(); err != nil {
		return err
	}
	if g.mode.Replace {
		if g.mode.Topology {
			return invalid("kind", "must be of a router or link where the lines are the desired topology")
		}
		r, ok := e.(*eventlog.RouteAnnounced)
		if !ok {
			return invalid("withdraw", "has no meaning where the lines are what is desired: leave the route out")
		}
		if !g.mode.Scope.holds(r) {
			return invalid("", "is not in the scope of the import")
		}
	}
	if err := e.Validate(); err != nil {
		return err
	}
	g.routes = append(g.routes, e)
	return nil
}

// addItem is add for a router or link.
func (g *gathering) addItem(e eventlog.Event, item eventlog.LinkID) error {
	if err := g.room(); err != nil {
		return err
	}
	if g.mode.Replace && !g.mode.Topology {
		return invalid("kind", "must be of a route where the lines are the desired routes")
	}
	if err := e.Validate(); err != nil {
		return err
	}
	if g.mode.Replace {
		if err := g.desires(e); err != nil {
			return err
		}
	}
	if at, again := g.at[item]; again {
		g.items[at] = e
		return nil
	}
	if g.at == nil {
		g.at = map[eventlog.LinkID]int{}
	}
	g.at[item] = len(g.items)
	g.items = append(g.items, e)
	return nil
}

// desires refuses what cannot be part of a desired topology.
func (g *gathering) desires(e eventlog.Event) error {
	in := false
	switch e := e.(type) {
	case *eventlog.RouterSet:
		in = g.mode.Scope.holdsRouter(e)
	case *eventlog.LinkSet:
		in = g.mode.Scope.holdsLink(e)
	default:
		return invalid("kind", "has no meaning where the lines are what is desired: leave the router or link out")
	}
	if !in {
		return invalid("", "is not in the scope of the import")
	}
	return nil
}

// failed is the error of an import as a whole.
func (i *importer) failed(err error) error {
	var f *eventlog.FieldError
	if errors.As(err, &f) {
		return err
	}
	return &MutationError{i.key, err}
}
