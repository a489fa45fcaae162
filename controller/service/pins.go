package service

import (
	"fmt"
	"sync"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Limits of the states kept for readers in the middle of their pages. A state
// shares what did not change with the newest one, and readers of one revision
// share it, so that many cost what was changed within pinLife.
const (
	maxPins = 256
	pinLife = 60 * time.Second
)

// pins remembers states by revision until they were not asked for during
// pinLife. Nobody's leaves before: where there is no room, a new listing is
// refused its second page.
type pins struct {
	mu    sync.Mutex
	now   func() time.Time
	items []pin // most recently used last
}

type pin struct {
	state *projector.State
	used  time.Time
}

// keep makes a state findable for a while. Errors: ErrOverloaded.
func (p *pins) keep(st *projector.State) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire()
	for i, it := range p.items {
		if it.state.Position() == st.Position() {
			p.touch(i)
			return nil
		}
	}
	if len(p.items) == maxPins {
		return fmt.Errorf("%w: listings of %d revisions are in progress; narrow this one, or ask for all as application/x-ndjson", ErrOverloaded, maxPins)
	}
	p.items = append(p.items, pin{st, p.now()})
	return nil
}

// find gives the state of that position, or ErrGone.
func (p *pins) find(epoch uint64, r eventlog.Revision) (*projector.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire()
	for i, it := range p.items {
		if at := it.state.Position(); at.Epoch == epoch && at.Revision == r {
			p.touch(i)
			return it.state, nil
		}
	}
	return nil, fmt.Errorf("cursor at revision %d: %w: begin again without it", r, ErrGone)
}

func (p *pins) touch(i int) {
	it := p.items[i]
	it.used = p.now()
	p.items = append(append(p.items[:i], p.items[i+1:]...), it)
}

func (p *pins) expire() {
	limit := p.now().Add(-pinLife)
	n := 0
	for n < len(p.items) && p.items[n].used.Before(limit) {
		n++
	}
	clear(p.items[copy(p.items, p.items[n:]):])
	p.items = p.items[:len(p.items)-n]
}
