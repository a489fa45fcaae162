package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// Relevance is what a commit has to do with the way of packets.
type Relevance string

// The relevances, the likeliest culprit first.
const (
	Changed   Relevance = "changed"   // the way was another before it
	Blocks    Relevance = "blocks"    // it keeps the way from what it would take: a link down, a drained router
	Used      Relevance = "used"      // the way rests on what it set
	Candidate Relevance = "candidate" // it set what was considered and not taken
	Concerns  Relevance = "concerns"  // it touched routes to the address, links or routers, without an effect here
)

var byRelevance = []Relevance{Changed, Blocks, Used, Candidate, Concerns}

// Reason is a commit behind the way of packets.
type Reason struct {
	Commit
	Relevance Relevance
	Why       []string // what of it is there still: "link a-b is down"
	// Changed: at Router, the first on the way, Before became After.
	Router        eventlog.RouterID
	Before, After string
}

// Reasons are the commits behind an explanation.
type Reasons struct {
	// List is in order of relevance, within one the newest first. The newest that
	// changed the way, as far as was looked back, is always in it, and the first.
	List []Reason
	// LeftOut is how many more were found.
	LeftOut int
	// SearchedTo is how far back the log was looked through. What is in force is
	// found wherever it was set.
	SearchedTo eventlog.Revision
}

// Bounds of what is looked for and told.
const (
	reasonScan    = 4 << 20 // bytes of log
	maxWeighed    = 256     // commits whose effect on the way is computed
	maxReasons    = 30
	maxOfOne      = 10 // of those that changed the way, and of those that only concern it
	maxEventsTold = 20
	maxRestored   = 1 << 14 // links and routers that are tried as if they were up
	maxWatched    = 64      // next hops that are resolved through other routes
)

// Reasons finds the commits that made an explanation what it is: those that
// changed the way, by computing it before and after each of the latest that touch
// routes to the address, links or routers; then those that set what is in force. st
// is the state that was explained, now the newest. Cost: a read of up to 4 MiB of
// the log, twice that from the nearest state at hand to the first of these
// commits (where none is near, a past state), and up to 256 ways. Errors: as State and Missing.
func (a *Archive) Reasons(ctx context.Context, now, st *projector.State, e *Explanation) (Reasons, error) {
	var out Reasons
	if len(e.Hops) == 0 {
		return out, nil
	}
	low, err := a.log.Low(ctx)
	if err != nil {
		return out, Missing(ctx, a.log, 0, err)
	}
	w := watching(st, e)
	scan := Scan{Log: a.log, Low: low, Limit: maxWeighed, Most: reasonScan, Want: w.wants, Skip: w.sieve.Elsewhere}
	found, searched, err := scan.Run(ctx, st.Position().Revision)
	if err != nil {
		return out, err
	}
	out.SearchedTo = max(searched, low)
	all := map[eventlog.Revision]*Reason{}
	for i := range found {
		r := &Reason{Commit: found[i], Relevance: Concerns}
		r.Events = r.Events[:min(len(r.Events), maxEventsTold)]
		all[r.Revision] = r
	}
	if err := a.weigh(ctx, now, low, e, found, all); err != nil {
		return out, err
	}
	if err := a.standing(ctx, st, e, all); err != nil {
		return out, err
	}
	for _, r := range all {
		out.List = append(out.List, *r)
	}
	slices.SortFunc(out.List, func(x, y Reason) int {
		if c := slices.Index(byRelevance, x.Relevance) - slices.Index(byRelevance, y.Relevance); c != 0 {
			return c
		}
		return cmp.Compare(y.Revision, x.Revision)
	})
	told := map[Relevance]int{}
	n := len(out.List)
	out.List = slices.DeleteFunc(out.List, func(r Reason) bool {
		told[r.Relevance]++
		return (r.Relevance == Changed || r.Relevance == Concerns) && told[r.Relevance] > maxOfOne
	})
	out.List = out.List[:min(len(out.List), maxReasons)]
	out.LeftOut = n - len(out.List)
	return out, nil
}

// weigh marks those of the commits found, the newest first, that changed the way.
func (a *Archive) weigh(ctx context.Context, now *projector.State, low eventlog.Revision, e *Explanation, found []Commit, all map[eventlog.Revision]*Reason) error {
	if len(found) == 0 {
		return nil
	}
	base := max(found[len(found)-1].Revision-1, low, 1)
	fold, err := a.reach(ctx, now, low, base, e)
	if gone := (*GoneError)(nil); errors.As(err, &gone) {
		return nil // the log still tells of commits before the oldest state
	}
	if err != nil {
		return err
	}
	at := fold.Current().Position().Revision
	before := wayOf(fold.State(), e.Hops[0].Router, e.Address)
	for i := range slices.Backward(found) {
		if found[i].Revision <= base {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("explain: %w: %w", ErrUnavailable, err)
		}
		// Nothing but what was looked for can move the way, so nothing else is folded.
		at++
		c := eventlog.Commit{Revision: at, Time: found[i].Time, Actor: found[i].Actor, Events: found[i].Events}
		if err := fold.Apply(&c, eventlog.Hash{}); err != nil {
			return fmt.Errorf("explain commit %d: %w", found[i].Revision, err)
		}
		after := wayOf(fold.State(), e.Hops[0].Router, e.Address)
		if router, x, y := before.differs(after); router != "" {
			r := all[found[i].Revision]
			r.Relevance, r.Router, r.Before, r.After = Changed, router, x, y
		}
		before = after
	}
	return nil
}

// reach gives a fold in which the way is as it was at base; its revision may be an
// earlier one. From a state at hand only what can move the way is folded on an
// overlay: to rebuild a whole one costs seconds where the table is large. Where
// none is near enough, it is rebuilt. Errors: State's.
func (a *Archive) reach(ctx context.Context, now *projector.State, low, base eventlog.Revision, e *Explanation) (*projector.Fold, error) {
	near := a.nearest(now, base)
	if near == nil || near.Position().Revision+1 < low {
		past, err := a.State(ctx, now, base)
		if err != nil {
			return nil, err
		}
		return past.Overlay(), nil
	}
	w := watching(near, e)
	for {
		met := len(w.addresses)
		fold, err := a.follow(ctx, near, base, w)
		if errors.Is(err, errFar) {
			past, err := a.State(ctx, now, base)
			if err != nil {
				return nil, err
			}
			return past.Overlay(), nil
		}
		if err != nil || len(w.addresses) == met {
			return fold, err
		}
		// What a route met on the way is resolved through may have moved before it.
	}
}

// errFar: between the states lies more of the log than is worth to look through.
var errFar = errors.New("too far")

// follow folds what is watched from a state up to base. Errors: errFar, Missing's.
func (a *Archive) follow(ctx context.Context, from *projector.State, base eventlog.Revision, w *watch) (*projector.Fold, error) {
	fold, at := from.Overlay(), from.Position().Revision
	read, counted := 0, eventlog.Revision(0)
	err := commits(ctx, a.log, at, base, w.sieve.Elsewhere, func(b *eventlog.Batch, k *eventlog.Commit) error {
		if counted != b.Last() {
			counted = b.Last()
			if read += len(b.Raw); read > 2*reasonScan {
				return errFar
			}
		}
		if StageOf(k) != nil {
			return errFar // as large as a table
		}
		var events []eventlog.Event
		for _, e := range k.Events {
			if e != nil && w.wants(e) {
				events = append(events, lone(e))
			}
		}
		if events == nil {
			return nil
		}
		at++
		c := eventlog.Commit{Revision: at, Time: k.Time, Actor: k.Actor, Events: events}
		return fold.Apply(&c, eventlog.Hash{})
	})
	if err != nil && !errors.Is(err, errFar) {
		err = Missing(ctx, a.log, base, err)
	}
	return fold, err
}

// way is what becomes of packets, hop by hop.
type way []turn

type turn struct {
	router eventlog.RouterID
	prefix netip.Prefix // not valid: no route
	hops   []projector.NextHop
}

// wayOf follows the decisions as Explain does. Cost: a lookup a router.
func wayOf(st *projector.State, router eventlog.RouterID, a netip.Addr) way {
	w := way{{router: router}}
	met := map[eventlog.RouterID]bool{router: true}
	for i := 0; i < len(w); i++ {
		d, ok := st.Lookup(w[i].router, a)
		if !ok {
			continue
		}
		w[i].prefix, w[i].hops = d.Prefix, d.NextHops
		for _, n := range d.NextHops {
			if n.Via != "" && !met[n.Via] && len(w) < maxHops {
				met[n.Via] = true
				w = append(w, turn{router: n.Via})
			}
		}
	}
	return w
}

// differs finds the first router that treats packets otherwise, and how; "": none.
func (w way) differs(later way) (at eventlog.RouterID, before, after string) {
	for i := range later {
		if i >= len(w) {
			return later[i].router, "not on the way", later[i].text()
		}
		x, y := &w[i], &later[i]
		if x.router != y.router || x.prefix != y.prefix || !slices.Equal(x.hops, y.hops) {
			// The routers before did the same, so both ways have this one here.
			return y.router, x.text(), y.text()
		}
	}
	if len(w) > len(later) {
		return w[len(later)].router, w[len(later)].text(), "not on the way"
	}
	return "", "", ""
}

func (t *turn) text() string {
	if !t.prefix.IsValid() {
		return "no route"
	}
	var to []string
	for _, n := range t.hops {
		var words []string
		if n.Via != "" {
			words = append(words, string(n.Via))
		}
		if n.Type != eventlog.Unicast {
			words = append(words, n.Type.String())
		}
		if n.Address.IsValid() {
			words = append(words, n.Address.String())
		}
		if n.Interface != "" {
			words = append(words, "dev "+n.Interface)
		}
		if n.Weight != 1 {
			words = append(words, fmt.Sprintf("weight %d", n.Weight))
		}
		to = append(to, strings.Join(words, " "))
	}
	return t.prefix.String() + " → " + strings.Join(to, ", ")
}

// watch is what events must be about to move the way: the address, and the next
// hops that are resolved through routes.
type watch struct {
	addresses []netip.Addr
	sieve     Sieve // all that contains one of them
}

// watching begins with what is in force: the address, and what its candidates
// are resolved through.
func watching(st *projector.State, e *Explanation) *watch {
	w := &watch{}
	w.watch(e.Address)
	for i := 0; i < len(w.addresses); i++ {
		a := w.addresses[i]
		for _, d := range st.Covering(netip.PrefixFrom(a, a.BitLen())) {
			for j := range d.Candidates {
				w.add(&d.Candidates[j].RouteAnnounced)
			}
		}
	}
	return w
}

func (w *watch) add(r *eventlog.RouteAnnounced) {
	if r.Recursive && r.NextHop.IsValid() && len(w.addresses) < maxWatched && !slices.Contains(w.addresses, r.NextHop) {
		w.watch(r.NextHop)
	}
}

func (w *watch) watch(a netip.Addr) {
	w.addresses = append(w.addresses, a)
	w.sieve.addCovering(a)
}

func (w *watch) covers(p netip.Prefix) bool {
	return slices.ContainsFunc(w.addresses, p.Contains)
}

// wants is asked about events from the newest to the oldest commit, so a
// route that is found to be resolved through others is known before theirs.
func (w *watch) wants(e eventlog.Event) bool {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		if !w.covers(e.Destination) {
			return false
		}
		w.add(e)
		return true
	case *eventlog.RouteWithdrawn:
		return w.covers(e.Destination)
	case *eventlog.LinkSet, *eventlog.LinkRemoved, *eventlog.LinkObserved, *eventlog.RouterSet, *eventlog.RouterRemoved:
		return true
	}
	return false
}
