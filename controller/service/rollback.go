package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"dvr/controller/appender"
	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// Rollback says what is to be taken back: all of intent to what it was at a
// revision, named commits, or what matches the filter since some point.
type Rollback struct {
	To      eventlog.Revision
	Commits []eventlog.Revision

	// The filter; zero members do not limit. One of them is set, with a since.
	Actor  string
	Tag    string            // what is set with it: routes, routers, links
	Router eventlog.RouterID // its routes, the router itself, its links
	Within netip.Prefix      // routes to destinations inside it
	Since  eventlog.Revision // the first commit that is looked at
	After  time.Time         // or: commits from this time on
}

func (r *Rollback) filtered() bool {
	return r.Actor != "" || r.Tag != "" || r.Router != "" || r.Within.IsValid()
}

// check refuses what makes no sense.
func (r *Rollback) check() error {
	ways := 0
	for _, given := range []bool{r.To > 0, len(r.Commits) > 0, r.filtered()} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return invalid("body", "must have exactly one of to, commits, or a filter (actor, tag, router, within) with since")
	case r.filtered() != (r.Since > 0 || !r.After.IsZero()):
		return invalid("since", "is needed with a filter, and only there: a revision or a time")
	case len(r.Commits) > eventlog.MaxCommitEvents:
		return invalid("commits", "names more than %d", eventlog.MaxCommitEvents)
	case slices.Contains(r.Commits, 0):
		return invalid("commits", "must be revisions from 1 on")
	}
	return nil
}

// MaxConflicts is how many conflicts are told; the rest is counted.
const MaxConflicts = 100

// RollbackConflict is ErrConflict with the items that cannot be taken back.
type RollbackConflict struct {
	List  []projector.Conflict // the first MaxConflicts
	Count int
}

func (e *RollbackConflict) Error() string {
	var texts []string
	for _, c := range e.List[:min(len(e.List), 3)] {
		texts = append(texts, conflictText(&c))
	}
	if more := e.Count - len(texts); more > 0 {
		texts = append(texts, strconv.Itoa(more)+" more")
	}
	items := "1 item"
	if e.Count > 1 {
		items = strconv.Itoa(e.Count) + " items"
	}
	return fmt.Sprintf("%v: %s cannot be taken back: %s", ErrConflict, items, strings.Join(texts, "; "))
}

func conflictText(c *projector.Conflict) string {
	item, commit := nameOfItem(c.Event), fmt.Sprintf("commit %d", c.Revision)
	if c.Actor != "" {
		commit += " of " + c.Actor
	}
	switch c.Cause {
	case projector.Unconfirmed:
		return fmt.Sprintf("%s would be again as %s made it, which is not confirmed: confirm that first, or take it back, too", item, commit)
	case projector.Overlaid:
		return fmt.Sprintf("%s would be again as %s made it for a while, over another lifetime that ends later: take that commit back, too, or cancel its timer", item, commit)
	}
	return fmt.Sprintf("%s was changed since by %s", item, commit)
}

// Unwrap makes it ErrConflict.
func (e *RollbackConflict) Unwrap() error { return ErrConflict }

// nameOfItem names what an event is about for a reader.
func nameOfItem(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return nameOfRoute(&e.RouteID)
	case *eventlog.RouteWithdrawn:
		return nameOfRoute(&e.RouteID)
	case *eventlog.RouterSet:
		return "router " + string(e.Router)
	case *eventlog.RouterRemoved:
		return "router " + string(e.Router)
	case *eventlog.LinkSet:
		return nameOfLink(&e.LinkID)
	case *eventlog.LinkRemoved:
		return nameOfLink(&e.LinkID)
	case *eventlog.KeyPut:
		return "key " + quoted(e.Key)
	case *eventlog.KeyDeleted:
		return "key " + quoted(e.Key)
	}
	return nameOf(e)
}

func nameOfLink(id *eventlog.LinkID) string {
	if id.Name != "" {
		return fmt.Sprintf("link %s-%s (%s)", id.A, id.B, id.Name)
	}
	return fmt.Sprintf("link %s-%s", id.A, id.B)
}

func nameOfRoute(id *eventlog.RouteID) string {
	text := "route " + id.Destination.String()
	if id.NextHop.IsValid() {
		text += " via " + id.NextHop.String()
	}
	if id.Router != eventlog.AllRouters {
		text += " of router " + string(id.Router)
	}
	return text
}

// Rollback takes commits back by a new one, which says in its reverts what it
// takes back. It is made of the newest state and refused where one of its items
// changes meanwhile. Errors: RollbackConflict where other commits changed the same
// items since; ErrGone for what is no longer retained. Cost: the commits since the
// first that is taken back, which are folded; with To a pass over both states.
func (s *Service) Rollback(ctx context.Context, m *Mutation, r Rollback) (Receipt, error) {
	if err := r.check(); err != nil {
		return Receipt{}, err
	}
	timeout := m.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := s.View(ctx, Read{Timeout: timeout}, true); err != nil {
		return Receipt{}, err
	}
	now := s.appender.State()
	x, err := s.inverse(ctx, now, &r, timeout)
	if err == nil {
		err = referred(now, x.events, x.named)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("rollback: %w", err)
	}
	events := x.events
	if len(events) == 0 && len(x.leases) == 0 {
		rec := Receipt{Position: now.Position(), NoChange: true, Wait: m.Wait}
		if m.Care != nil && m.Care.DryRun {
			rec.Preview = &Preview{Before: now.Position(), Digest: now.Digest()}
		}
		return rec, nil
	}
	basis := appender.BasisOf(now, events)
	basis.Named = x.named
	if len(x.leases) > 0 && m.Care != nil && m.Care.ExpiresIn > 0 {
		return Receipt{}, invalid("expires_in", "has no meaning here: what is restored is itself for a while, until %s", time.UnixMilli(x.leases[0].Until).UTC().Format(time.RFC3339))
	}
	later := m.Care != nil && (m.Care.NotBefore > 0 || m.Care.Propose)
	for i, l := range x.leases {
		// The name is that of the dry run; where another rollback took it, the basis is moved.
		name := fmt.Sprintf("%s%d-%d", appender.LifetimeTimer, now.Position().Revision, i)
		if later {
			name = timedName(appender.LifetimeTimer)
		}
		events = append(events, &eventlog.TimerSet{Name: name, At: l.Until, Undo: true, Events: l.Events})
	}
	c := Change{
		Actor: m.Actor, Source: m.Source, Reason: m.Reason, ID: m.ID, Request: m.Request, Caller: m.Caller,
		Events: events, Reverts: x.reverts, Basis: basis,
	}
	if c.Reason == "" {
		c.Reason = r.text()
	}
	var prefixes []netip.Prefix
	if m.Wait == WaitInstalled {
		prefixes = prefixesOf(events)
	}
	if m.Care != nil {
		return s.carefully(ctx, m, c, prefixes)
	}
	return s.commit(ctx, m, c, prefixes)
}

// text is the reason of a rollback that was given none.
func (r *Rollback) text() string {
	switch {
	case r.To > 0:
		return fmt.Sprintf("rollback to revision %d", r.To)
	case len(r.Commits) == 1:
		return fmt.Sprintf("rollback of commit %d", r.Commits[0])
	case len(r.Commits) > 1:
		return fmt.Sprintf("rollback of %d commits", len(r.Commits))
	}
	var what []string
	for _, p := range []struct{ name, value string }{{"actor", r.Actor}, {"tag", r.Tag}, {"router", string(r.Router)}, {"within", prefixText(r.Within)}} {
		if p.value != "" {
			what = append(what, p.name+" "+p.value)
		}
	}
	return "rollback of " + strings.Join(what, ", ")
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

var errReadEnough = errors.New("all that was asked for is read")

// referred is ErrReferred, naming what it is, where something speaks of a router
// that a rollback would remove, and did not before that was declared.
func referred(now *projector.State, events []eventlog.Event, named []eventlog.RouterID) error {
	var routers []eventlog.RouterID
	for _, e := range events {
		if gone, ok := e.(*eventlog.RouterRemoved); ok && !slices.Contains(named, gone.Router) {
			routers = append(routers, gone.Router)
		}
	}
	if len(routers) == 0 {
		return nil
	}
	after, err := now.Try(&eventlog.Commit{Time: now.Time(), Events: events})
	if err != nil {
		return err
	}
	var announcing []bool
	for i, refs := range after.ReferencesTo(routers) {
		if refs.Routes && refs.Destinations == 0 {
			if announcing == nil {
				announcing = after.Announcing(routers)
			}
			refs.Routes = announcing[i]
		}
		if refs.Any() {
			return fmt.Errorf("router %s was declared by what is to be taken back, and is referred to since by %s: %w", routers[i], appender.Referring(after, routers[i], &refs), ErrReferred)
		}
	}
	return nil
}

// inverse is what takes commits back.
type inverse struct {
	events  []eventlog.Event
	leases  []projector.Lease   // what of it is only for a while
	reverts []eventlog.Revision // the commits
	named   []eventlog.RouterID // routers that it may leave undeclared though something speaks of them
}

// inverse finds what takes r back at now. Errors: RollbackConflict, ….
func (s *Service) inverse(ctx context.Context, now *projector.State, r *Rollback, timeout time.Duration) (x inverse, err error) {
	head := now.Position().Revision
	if r.To > 0 {
		if r.To > head {
			return x, invalid("to", "is a revision to come: the newest is %d", head)
		}
		v, err := s.View(ctx, Read{At: r.To, Timeout: timeout}, true)
		if err != nil {
			return x, err
		}
		var conflicts []projector.Conflict
		if x.leases, conflicts = now.Leases(v.State); len(conflicts) > 0 {
			return x, s.conflict(ctx, conflicts)
		}
		x.events = now.Restore(v.State)
		for _, c := range now.Pending() {
			if c > r.To {
				x.events = append(x.events, &eventlog.ConfirmationUndone{Revision: c})
			}
		}
		for _, e := range x.events { // all is as it was then, what speaks of routers, too
			if gone, ok := e.(*eventlog.RouterRemoved); ok {
				x.named = append(x.named, gone.Router)
			}
		}
		return x, nil
	}
	switch {
	case r.Since > head:
		return x, invalid("since", "is a revision to come: the newest is %d", head)
	case r.After.After(time.Now().Add(aheadOfUs)):
		return x, invalid("since", "is a time to come")
	}
	first := r.Since
	commits := map[eventlog.Revision]bool{}
	for _, c := range r.Commits {
		if c > head {
			return x, fmt.Errorf("commit %d: %w", c, ErrNotFound)
		}
		commits[c] = true
		if first == 0 || c < first {
			first = c
		}
	}
	if !r.After.IsZero() {
		if first, err = s.firstAfter(ctx, r.After.UnixMilli(), head); err != nil {
			return x, err
		}
	}
	if first > head {
		return x, nil
	}
	if first < 2 {
		field := "since"
		if len(r.Commits) > 0 {
			field = "commits"
		}
		return x, invalid(field, "must be 2 or more: revision 1 is the log's beginning")
	}
	v, err := s.View(ctx, Read{At: first - 1, Timeout: timeout}, true)
	if err != nil {
		return x, err
	}
	rev := projector.NewReverter(v.State)
	taken := map[eventlog.Revision]bool{} // as a whole
	err = s.history.Read(ctx, first-1, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if c.Revision < first {
				continue
			}
			if c.Revision > head {
				return errReadEnough
			}
			var err error
			if c.Events, err = history.Expanded(ctx, s.history, c); err != nil {
				return err
			}
			hit, whole := false, true
			if err := rev.Apply(c, func(e eventlog.Event) bool {
				chosen := commits[c.Revision] || r.filtered() && r.matches(c, e)
				hit = hit || chosen
				whole = whole && (chosen || e.Kind() == eventlog.KindConfirmationOpened || e.Kind() == eventlog.KindTimerSet)
				return chosen
			}); err != nil {
				return err
			}
			if hit && whole {
				taken[c.Revision] = true
			}
			if hit && len(x.reverts) < eventlog.MaxCommitEvents {
				x.reverts = append(x.reverts, c.Revision)
			}
		}
		return ctx.Err()
	})
	switch {
	case errors.Is(err, errReadEnough):
	case errors.Is(err, projector.ErrTooMany):
		return x, fmt.Errorf("%w: more than %d items; narrow it, or roll back to a revision", ErrTooLarge, projector.MaxReverted)
	case errors.Is(err, eventlog.ErrTruncated):
		return x, fmt.Errorf("commits from revision %d: %w", first, ErrGone)
	case ctx.Err() != nil:
		return x, fmt.Errorf("%w: the commits since revision %d were not read in time; ask again with a longer timeout", ErrBehind, first)
	case err != nil:
		return x, err
	}
	if at := rev.Position().Revision; at != head {
		return x, fmt.Errorf("%w: the log was read up to revision %d of %d", ErrUnavailable, at, head)
	}
	var conflicts []projector.Conflict
	if x.events, x.leases, conflicts = rev.Inverse(); len(conflicts) > 0 {
		return x, s.conflict(ctx, conflicts)
	}
	// What is taken back needs no confirmation any more.
	for _, c := range now.Pending() {
		if taken[c] {
			x.events = append(x.events, &eventlog.ConfirmationUndone{Revision: c})
		}
	}
	x.named = rev.Named()
	return x, nil
}

// conflict is the error of what cannot be taken back, with who made it so.
func (s *Service) conflict(ctx context.Context, found []projector.Conflict) error {
	list := found[:min(len(found), MaxConflicts)]
	for i := range list {
		if list[i].Actor == "" { // for a reader: nothing rests on it
			_ = s.CommitAt(ctx, list[i].Revision, func(c *eventlog.Commit) error { list[i].Actor = c.Actor; return nil })
		}
	}
	return &RollbackConflict{list, len(found)}
}

// matches reports whether an event of c is one that the filter chooses.
func (r *Rollback) matches(c *eventlog.Commit, e eventlog.Event) bool {
	if r.Actor != "" && c.Actor != r.Actor && c.For != r.Actor {
		return false
	}
	if r.Tag == "" && r.Router == "" && !r.Within.IsValid() {
		return true
	}
	var tags []string
	var routers []eventlog.RouterID
	var destination netip.Prefix
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		tags, routers, destination = e.Tags, []eventlog.RouterID{e.Router}, e.Destination
	case *eventlog.RouteWithdrawn:
		routers, destination = []eventlog.RouterID{e.Router}, e.Destination
	case *eventlog.RouterSet:
		tags, routers = e.Tags, []eventlog.RouterID{e.Router}
	case *eventlog.RouterRemoved:
		routers = []eventlog.RouterID{e.Router}
	case *eventlog.LinkSet:
		tags, routers = e.Tags, []eventlog.RouterID{e.A, e.B}
	case *eventlog.LinkRemoved:
		routers = []eventlog.RouterID{e.A, e.B}
	default:
		return false
	}
	if r.Tag != "" && !slices.Contains(tags, r.Tag) || r.Router != "" && !slices.Contains(routers, r.Router) {
		return false
	}
	return !r.Within.IsValid() || destination.IsValid() && r.Within.Bits() <= destination.Bits() && r.Within.Contains(destination.Addr())
}

// firstAfter is the first commit at or after a time; head+1: none. Log time
// never falls but for steps of the clock, which move it for good.
func (s *Service) firstAfter(ctx context.Context, at int64, head eventlog.Revision) (eventlog.Revision, error) {
	low, err := s.history.Low(ctx)
	if err != nil {
		return 0, err
	}
	var failed error
	n := sort.Search(int(head-low)+1, func(i int) bool {
		if failed != nil {
			return true
		}
		var t int64
		failed = s.CommitAt(ctx, low+eventlog.Revision(i), func(c *eventlog.Commit) error { t = c.Time; return nil })
		return t >= at
	})
	if failed != nil {
		return 0, failed
	}
	if n == 0 && low > 1 {
		return 0, fmt.Errorf("commits since %s: %w: the log begins at revision %d", time.UnixMilli(at).UTC().Format(time.RFC3339), ErrGone, low)
	}
	return max(low+eventlog.Revision(n), 2), nil
}
