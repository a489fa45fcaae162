package demo

import (
	"math/rand/v2"
	"net/netip"

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

// Churn moves prefixes from provider to provider, as paths on the Internet do.
// It is a pure sequence: the same seed and the same that were made give the same moves.
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

// move is one change that churn makes: a border router's speaker withdraws some
// prefixes of a provider, another provider has them.
type move struct {
	actor   string
	indexes []int // in the sample
	to      int
}

// next is what is to be moved; nothing, where there is nothing to move. The
// sample's providers are those of the table and of what was moved; what really
// is there only the nodes know: see events.
func (c *churn) next() move {
	if len(c.sample) == 0 {
		return move{}
	}
	first := c.rng.IntN(len(c.sample))
	from := c.sample[first].provider
	m := move{to: (from + 1 + c.rng.IntN(providers-1)) % providers}
	m.actor = "bgp@" + string(borders[m.to%len(borders)])
	most := 1 + c.rng.IntN(moveMost)
	for i := first; i < len(c.sample) && len(m.indexes) < most; i++ {
		if c.sample[i].provider == from {
			m.indexes = append(m.indexes, i)
		}
	}
	return m
}

// events are those of a move, given what each of its prefixes has: that is what
// is withdrawn, whoever moved it there, so that a prefix never keeps two. One
// that has nothing, because somebody took it away, stays away.
func (c *churn) events(m move, has func(netip.Prefix) ([]eventlog.RouteID, error)) ([]eventlog.Event, error) {
	var events []eventlog.Event
	for _, i := range m.indexes {
		p := placed{c.sample[i].Origin, m.to}
		there, err := has(p.Prefix)
		if err != nil {
			return nil, err
		}
		if len(there) == 0 || len(there) == 1 && there[0] == p.identity() {
			continue
		}
		for _, id := range there {
			if id != p.identity() {
				events = append(events, &eventlog.RouteWithdrawn{RouteID: id})
			}
		}
		events = append(events, p.announced())
	}
	return events, nil
}

// moved says that the events of a move were committed.
func (c *churn) moved(m move) {
	for _, i := range m.indexes {
		c.sample[i].provider = m.to
	}
}
