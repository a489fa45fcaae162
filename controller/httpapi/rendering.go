package httpapi

import (
	"sync"

	"dvr/eventlog"
)

// renderings are stretches of streams that many watchers of the same are given.
type renderings struct {
	mu    sync.Mutex
	list  map[renderKey]*rendering
	order []renderKey // oldest first
	bytes int
}

// renderKey names a stretch: of which query, behind which position, up to where.
type renderKey struct {
	query string
	after eventlog.Position
	to    eventlog.Revision
}

type rendering struct {
	once sync.Once
	raw  []byte
}

const (
	maxRenderings  = 256
	renderingsHold = 16 << 20
)

// get gives the stretch, rendered once for all who ask for it meanwhile.
func (r *renderings) get(k renderKey, render func() []byte) []byte {
	r.mu.Lock()
	e := r.list[k]
	if e == nil {
		if r.list == nil {
			r.list = map[renderKey]*rendering{}
		}
		e = &rendering{}
		r.list[k] = e
		r.order = append(r.order, k)
	}
	r.mu.Unlock()
	e.once.Do(func() {
		e.raw = render()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bytes += len(e.raw)
		for len(r.order) > 1 && (len(r.order) > maxRenderings || r.bytes > renderingsHold) {
			r.bytes -= len(r.list[r.order[0]].raw)
			delete(r.list, r.order[0])
			r.order = r.order[1:]
		}
	})
	return e.raw
}
