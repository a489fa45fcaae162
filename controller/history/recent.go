package history

import (
	"context"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// recent is states of the node's own fold as they passed by. They share with
// the newest what has not changed since, so each costs what was changed after
// it, which is estimated and bounded.
type recent struct {
	list  []passed // oldest first
	bytes int
}

type passed struct {
	state *projector.State
	bytes int // about what it holds that its successor does not
}

const (
	recentStride = 1024     // revisions between two of them
	recentMost   = 24       // states
	recentHold   = 48 << 20 // bytes
	// changedBytes is about what a changed item keeps alive of the old tree: a leaf.
	changedBytes = 1600
	// recentLook is the longest between two looks at how much has changed.
	recentLook = 5 * time.Second
)

// Remember keeps a state of the node's own fold, now and then, for folding from
// it later: one every recentStride revisions, and the first after much has
// changed. Cost: what changed in between, as far as it is little. Where much
// changes nothing before it is kept: it would be a second table.
func (a *Archive) Remember(st *projector.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.recent
	n := len(r.list)
	if n > 0 {
		last := &r.list[n-1]
		const most = recentHold / 4 / changedBytes
		changed := most
		if belongs(last.state, st) {
			changed = st.Distance(last.state, most)
		}
		switch {
		case changed >= most:
			*r = recent{} // what lies behind much change is dear to keep
		case st.Position().Revision < last.state.Position().Revision+recentStride:
			return
		default:
			last.bytes = changed * changedBytes
			r.bytes += last.bytes
		}
	}
	for len(r.list) == recentMost || r.bytes > recentHold {
		r.bytes -= r.list[0].bytes
		r.list[0] = passed{}
		r.list = r.list[1:]
	}
	r.list = append(r.list, passed{state: st})
}

// Source is where the newest state is.
type Source interface {
	State() *projector.State
	// Wait returns when the state has reached the revision.
	Wait(ctx context.Context, rev eventlog.Revision) error
}

// Follow remembers what passes by until ctx ends.
func (a *Archive) Follow(ctx context.Context, s Source) {
	for ctx.Err() == nil {
		st := s.State()
		a.Remember(st)
		// One commit may change the whole table, so revisions alone do not tell.
		look, cancel := context.WithTimeout(ctx, recentLook)
		err := s.Wait(look, st.Position().Revision+recentStride)
		timedOut := look.Err() != nil
		cancel()
		if err != nil && !timedOut {
			return
		}
	}
}
