package robustness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Node is a node as callers know it.
type Node struct{ Name, API string }

// Traffic is callers that change and read items of a small pool, through any
// node. An item is left for a new one after a while, so that its history stays
// short enough to be checked.
type Traffic struct {
	Client  *Client
	Nodes   func() []Node // that may be asked now
	Seed    uint64
	Callers int
	Rate    int  // calls a second, of all callers together
	Keys    bool // the key-value store too

	mu       sync.Mutex
	items    []*item
	lastItem int
	lastID   int
	lastMany int
}

// Sizes of the pool and of an item's history.
const (
	poolItems = 8
	itemCalls = 80
	slots     = 3
)

// item is a member of the pool.
type item struct {
	Item
	calls   int
	version uint64 // seen last
}

// Run makes calls until ctx ends, and returns when the last has been answered
// or given up.
func (t *Traffic) Run(ctx context.Context) {
	var callers sync.WaitGroup
	every := time.Second * time.Duration(t.Callers) / time.Duration(t.Rate)
	for i := range t.Callers {
		callers.Go(func() {
			rng := rand.New(rand.NewPCG(t.Seed, uint64(i)))
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					t.one(ctx, rng, i)
				}
			}
		})
	}
	callers.Wait()
}

// pick takes an item of the pool, and replaces it there when it has had its calls.
func (t *Traffic) pick(rng *rand.Rand) *item {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := rng.IntN(poolItems)
	for len(t.items) <= i {
		t.items = append(t.items, t.fresh())
	}
	it := t.items[i]
	if it.calls++; it.calls >= itemCalls {
		t.items[i] = t.fresh()
	}
	return it
}

func (t *Traffic) fresh() *item {
	n := t.lastItem
	t.lastItem++
	if t.Keys && n%2 == 1 {
		return &item{Item: Item{Keys, fmt.Sprintf("item %d/ü%%2F", n)}}
	}
	return &item{Item: Item{Routes, fmt.Sprintf("10.%d.%d.0/24", n>>8&255, n&255)}}
}

func (t *Traffic) node(rng *rand.Rand) (Node, bool) {
	nodes := t.Nodes()
	if len(nodes) == 0 {
		return Node{}, false
	}
	return nodes[rng.IntN(len(nodes))], true
}

// one makes one call, and what a caller does about its outcome.
func (t *Traffic) one(ctx context.Context, rng *rand.Rand, client int) {
	if rng.IntN(20) == 0 {
		t.many(ctx, rng, client)
		return
	}
	it := t.pick(rng)
	c := Call{Client: client, Item: it.Item}
	switch n := rng.IntN(100); {
	case n < 40:
		c.Kind = Get
		c.Local, c.Default = n < 10, n >= 10 && n < 20
	case n < 48:
		c.Kind = Remove
	case n < 65 && it.Space == Routes:
		c.Kind = Replace
	default:
		c.Kind = Set
	}
	if c.Kind == Set || c.Kind == Replace {
		c.Value = t.Client.recorder.Value()
		if it.Space == Routes {
			c.Slot = fmt.Sprintf("192.0.2.%d", 1+rng.IntN(slots))
		}
	}
	if c.write() {
		t.mu.Lock()
		if rng.IntN(4) > 0 {
			t.lastID++
			c.ID = fmt.Sprintf("%x-%d", t.Seed, t.lastID)
		}
		switch version := it.version; {
		case rng.IntN(4) == 0 && version > 0:
			c.IfMatch = version
		case rng.IntN(10) == 0 && c.Kind != Remove:
			c.IfAbsent = true
		}
		t.mu.Unlock()
	}
	t.attempts(ctx, rng, it, c)
}

// many sets two or three items in one commit; what has no answer is asked again
// under its idempotency key, where it has one.
func (t *Traffic) many(ctx context.Context, rng *rand.Rand, client int) {
	var chosen []*item
	for n := 2 + rng.IntN(2); len(chosen) < n; {
		it := t.pick(rng)
		if !slices.ContainsFunc(chosen, func(o *item) bool { return o.Item == it.Item }) {
			chosen = append(chosen, it)
		}
	}
	t.mu.Lock()
	t.lastMany++
	batch, id := t.lastMany, ""
	if rng.IntN(4) > 0 {
		id = fmt.Sprintf("%x-many-%d", t.Seed, batch)
	}
	t.mu.Unlock()
	var calls []Call
	for _, it := range chosen {
		c := Call{Client: client, Item: it.Item, Kind: Set, Value: t.Client.recorder.Value(), ID: id, Batch: batch}
		if it.Space == Routes {
			c.Slot = fmt.Sprintf("192.0.2.%d", 1+rng.IntN(slots))
		}
		calls = append(calls, c)
	}
	for range 4 {
		n, ok := t.node(rng)
		if !ok || ctx.Err() != nil {
			return
		}
		parts := make([]*Call, len(calls))
		for i, c := range calls {
			c.Node = n.Name
			parts[i] = &c
		}
		t.Client.MakeBatch(context.WithoutCancel(ctx), n.API, parts)
		if k := parts[0]; k.Outcome == Done {
			t.mu.Lock()
			for _, it := range chosen {
				it.version = k.Revision
			}
			t.mu.Unlock()
			return
		} else if k.Outcome != Unknown || id == "" {
			return
		}
	}
}

// attempts makes the call; what has no answer is asked again under its
// idempotency key, and at times what has one, as after an answer that got lost.
func (t *Traffic) attempts(ctx context.Context, rng *rand.Rand, it *item, c Call) {
	again := rng.IntN(10) == 0
	for range 4 {
		if ctx.Err() != nil {
			return
		}
		n, ok := t.node(rng)
		if !ok {
			return
		}
		k := c
		k.Node = n.Name
		t.Client.Make(context.WithoutCancel(ctx), n.API, &k)
		if k.Outcome == Done {
			t.mu.Lock()
			if k.write() {
				it.version = k.Revision
			} else if !k.Local {
				it.version = k.Version
			}
			t.mu.Unlock()
		}
		if k.ID == "" || k.Outcome == Wrong || k.Outcome == Failed || k.Outcome != Unknown && !again {
			return
		}
		again = false
	}
}
