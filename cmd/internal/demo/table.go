package demo

import (
	"math/rand/v2"

	"dvr/dataplane/tables"
	"dvr/eventlog"
)

// providers is how many next hops the Internet's routes have, at the borders in turn.
const providers = 64

// internet gives most routes of a full table, spread evenly over it, each as
// its provider announces it. Cost: half a second for all.
func internet(most int) ([]placed, error) {
	origins, err := tables.Full()
	if err != nil {
		return nil, err
	}
	most = min(most, len(origins))
	spread := tables.NewSpread(providers)
	out := make([]placed, 0, most)
	for i := range most {
		o := origins[i*len(origins)/most]
		out = append(out, placed{o, spread.Index(o)})
	}
	return out, nil
}

// placed is a prefix and the provider that announces it.
type placed struct {
	tables.Origin
	provider int
}

func (p placed) identity() eventlog.RouteID {
	return eventlog.RouteID{
		Router: borders[p.provider%len(borders)], Destination: p.Prefix, NextHop: tables.NextHop(p.provider, p.Prefix), Origin: eventlog.DefaultOrigin,
	}
}

// internetTag is what all these routes are found by.
const internetTag = "internet"

func (p placed) announced() *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{RouteID: p.identity(), Metric: 10, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight, Tags: []string{internetTag}}
}

func (p placed) withdrawn() *eventlog.RouteWithdrawn {
	return &eventlog.RouteWithdrawn{RouteID: p.identity()}
}

// Churn moves prefixes from provider to provider, as paths on the Internet do.
// It is a pure sequence: the same seed gives the same changes.
type churn struct {
	rng    *rand.Rand
	sample []placed
}

// sampleSize bounds what churn remembers, and moveMost what it moves at once.
const (
	sampleSize = 4096
	moveMost   = 8
)

func newChurn(table []placed, seed uint64) *churn {
	c := &churn{rng: rand.New(rand.NewPCG(seed, 1))}
	n := min(sampleSize, len(table))
	for i := range n {
		c.sample = append(c.sample, table[i*len(table)/n])
	}
	return c
}

// next is the events of one change, and who makes it: a border router's
// speaker withdraws some prefixes of a provider, another provider has them.
func (c *churn) next() (actor string, events []eventlog.Event) {
	if len(c.sample) == 0 {
		return "", nil
	}
	first := c.rng.IntN(len(c.sample))
	from := c.sample[first].provider
	to := (from + 1 + c.rng.IntN(providers-1)) % providers
	most := 1 + c.rng.IntN(moveMost)
	for i := first; i < len(c.sample) && len(events) < 2*most; i++ {
		p := &c.sample[i]
		if p.provider != from {
			continue
		}
		events = append(events, p.withdrawn())
		p.provider = to
		events = append(events, p.announced())
	}
	return "bgp@" + string(borders[to%len(borders)]), events
}
