package projector

import (
	"slices"
	"sync"
	"sync/atomic"

	"dvr/projector/internal/pmap"
)

// topologyCell is a topology that is derived when first asked for. States
// between which no router or link changed share one, so two cells are the
// same topology when they are the same cell.
type topologyCell struct {
	once  sync.Once
	plan  atomic.Pointer[topologyPlan] // nil when built
	built atomic.Pointer[topology]
}

// topologyPlan is how to come to a topology.
type topologyPlan struct {
	items   pmap.View[pmap.String, *item]
	base    *topology     // nil: from nothing
	touched []pmap.String // items that differ from base's
}

// maxTouched bounds what is remembered of changes while nobody asks for a topology.
const maxTouched = 4096

func (c *topologyCell) get() *topology {
	c.once.Do(func() {
		p := c.plan.Load()
		if p.base != nil {
			c.built.Store(p.base.next(p.items, p.touched))
		} else {
			c.built.Store(newTopology(p.items))
		}
		c.plan.Store(nil)
	})
	return c.built.Load()
}

// cellAfter is the cell of items that differ from those of before (nil: none)
// in the items named. It holds on to the newest topology that was asked for,
// and to no cell.
func cellAfter(before *topologyCell, items pmap.View[pmap.String, *item], touched []pmap.String) *topologyCell {
	c, p := &topologyCell{}, &topologyPlan{items: items}
	if before != nil {
		if earlier := before.plan.Load(); earlier != nil {
			p.base, p.touched = earlier.base, slices.Concat(earlier.touched, touched)
		} else {
			p.base, p.touched = before.built.Load(), touched
		}
	}
	if len(p.touched) > maxTouched {
		p.base, p.touched = nil, nil
	}
	c.plan.Store(p)
	return c
}
