package peer

import (
	"sync"
	"time"

	"dvr/controller/fibstream"
	"dvr/controller/peerpb"
	"dvr/eventlog"
)

const (
	// forget is how long the claims of a node that went are kept: longer than any
	// instance must be gone before another may follow.
	forget = time.Minute
	// maxClaims bounds what one node may claim.
	maxClaims = 1 << 15
)

// claims is what every other node claims, as it told last.
type claims struct {
	mu sync.Mutex
	of map[string]*claimed
}

// claimed are the claims of one node.
type claimed struct {
	at   time.Time
	lost time.Time // the link ended then; zero: it stands
	list map[eventlog.RouterID]fibstream.Claim
}

// hear takes in what a node claims and returns the claims that are connected.
func (c *claims) hear(node string, list []*peerpb.Claim) []fibstream.Claim {
	n := &claimed{at: time.Now(), list: make(map[eventlog.RouterID]fibstream.Claim, len(list))}
	var connected []fibstream.Claim
	for _, p := range list[:min(len(list), maxClaims)] {
		one := fibstream.Claim{
			Router: eventlog.RouterID(p.GetRouter()), Instance: p.GetInstance(), Stamp: p.GetStamp(), Connected: p.GetConnected(),
			Gone: time.Duration(p.GetGoneMs()) * time.Millisecond, Takeover: p.GetTakeover(),
		}
		n.list[one.Router] = one
		if one.Connected {
			connected = append(connected, one)
		}
	}
	c.mu.Lock()
	c.of[node] = n
	c.mu.Unlock()
	return connected
}

// lose notes that a node is no longer linked to.
func (c *claims) lose(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if n := c.of[node]; n != nil && n.lost.IsZero() {
		n.lost = now
	}
	for id, n := range c.of {
		if !n.lost.IsZero() && now.Sub(n.lost) > forget {
			delete(c.of, id)
		}
	}
}

// each calls fn with every claim as it is now; present tells which nodes are
// there though no link stands.
func (c *claims) each(present func(node string) bool, fn func(node string, one fibstream.Claim)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for node, n := range c.of {
		for _, one := range n.list {
			fn(node, n.age(one, now, present(node)))
		}
	}
}

// age brings a claim up to now. That of a node which is out of reach counts as
// connected as long as the directory has the node.
func (n *claimed) age(one fibstream.Claim, now time.Time, present bool) fibstream.Claim {
	switch {
	case !one.Connected:
		one.Gone += now.Sub(n.at)
	case !n.lost.IsZero() && !present:
		one.Connected, one.Gone = false, now.Sub(n.lost)
	}
	return one
}

// Claim implements fibstream.Elsewhere.
func (x *Exchange) Claim(router eventlog.RouterID) (best fibstream.Claim, node string, ok bool) {
	c := &x.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for id, n := range c.of {
		if one, has := n.list[router]; has && (!ok || one.Stamp > best.Stamp) {
			best, node, ok = n.age(one, now, x.present(id)), id, true
		}
	}
	return best, node, ok
}

// Changed implements fibstream.Elsewhere: every other node is told at once.
func (x *Exchange) Changed() {
	select {
	case x.news <- struct{}{}:
	default:
	}
}

// present reports whether the directory has the node.
func (x *Exchange) present(node string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.there[node]
}

// connection is where a router's data plane is, or was last.
type connection struct {
	node  string
	claim fibstream.Claim
}

// connections tells it of every router over all other nodes.
func (x *Exchange) connections() map[eventlog.RouterID]connection {
	out := map[eventlog.RouterID]connection{}
	x.claims.each(x.present, func(node string, one fibstream.Claim) {
		if was, ok := out[one.Router]; !ok || supersedes(one, was.claim) {
			out[one.Router] = connection{node, one}
		}
	})
	return out
}

// supersedes reports whether a says more than b of where its router is.
func supersedes(a, b fibstream.Claim) bool {
	if a.Connected != b.Connected {
		return a.Connected
	}
	return a.Stamp > b.Stamp
}

// wireClaims is what this node claims, for the others.
func wireClaims(list []fibstream.Claim) []*peerpb.Claim {
	out := make([]*peerpb.Claim, 0, len(list))
	for _, c := range list {
		out = append(out, &peerpb.Claim{
			Router: string(c.Router), Instance: c.Instance, Stamp: c.Stamp, Connected: c.Connected,
			GoneMs: uint64(c.Gone.Milliseconds()), Takeover: c.Takeover,
		})
	}
	return out
}
