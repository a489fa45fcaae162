package history

import (
	"context"
	"iter"

	"dvr/eventlog"
	"dvr/projector"
)

// Diff is what changed from one state to another: intent, and the effect on
// routers. Immutable; safe for concurrent use.
type Diff struct {
	From, To *projector.State
	// Routers whose FIBs are compared, in the order of the lines.
	Routers []eventlog.RouterID
}

// Line is one change. Exactly one of the pointers is set.
type Line struct {
	Route *projector.RouteChange
	Item  *projector.ItemChange
	// Effects at Router.
	Router eventlog.RouterID
	Group  *projector.GroupChange
	Entry  *projector.EntryChange
}

// Diff compares the states at two revisions, in either order. routers are asked
// for once both states are known. Errors: as State.
func (a *Archive) Diff(ctx context.Context, now *projector.State, from, to eventlog.Revision, routers func(x, y *projector.State) ([]eventlog.RouterID, error)) (*Diff, error) {
	x, y, err := a.Pair(ctx, now, min(from, to), max(from, to))
	if err != nil {
		return nil, err
	}
	if from > to {
		x, y = y, x
	}
	d := &Diff{From: x, To: y}
	d.Routers, err = routers(x, y)
	return d, err
}

// Lines iterates over all changes, always in the same order: routes by prefix,
// other items by kind and identity, then router by router the groups and the
// entries of its FIB. Cost: what changed, and O(classes) a router.
func (d *Diff) Lines() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for c := range d.To.RouteChanges(d.From) {
			if !yield(Line{Route: &c}) {
				return
			}
		}
		for c := range d.To.ItemChanges(d.From) {
			if !yield(Line{Item: &c}) {
				return
			}
		}
		for _, r := range d.Routers {
			f := d.effect(r)
			for i := range f.Groups {
				if !yield(Line{Router: r, Group: &f.Groups[i]}) {
					return
				}
			}
			for c := range f.Entries() {
				if !yield(Line{Router: r, Entry: &c}) {
					return
				}
			}
		}
	}
}

// effect compares a router's FIBs. The later is compiled from the earlier.
func (d *Diff) effect(r eventlog.RouterID) *projector.FIBDifference {
	if d.From.Position().Revision > d.To.Position().Revision {
		to := d.To.FIB(r, nil)
		return to.Difference(d.From.FIB(r, to))
	}
	from := d.From.FIB(r, nil)
	return d.To.FIB(r, from).Difference(from)
}
