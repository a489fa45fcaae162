package peer

import (
	"fmt"
	"slices"
	"time"
)

const (
	// MaxSkew is how far a node's clock may be from the median of its own and its
	// peers' for it to run timers.
	MaxSkew = 2 * time.Second
	// clockLife is how long what a peer told of its clock counts.
	clockLife = 10 * time.Second
)

// reading is what a peer told of its clock.
type reading struct {
	ahead time.Duration // of this node's
	at    time.Time     // by this node's clock
}

// tick takes in a peer's clock; 0: it told none.
func (r *remote) tick(ms uint64, now time.Time) {
	if ms > 0 {
		r.clock.Store(&reading{time.UnixMilli(int64(ms)).Sub(now), now})
	}
}

// Skew is how far the median of this node's clock and those that its peers told
// lately is ahead of this node's, and how many peers those are. What a message
// takes on its way counts as behind.
func (x *Exchange) Skew() (ahead time.Duration, peers int) {
	now := x.options.Now()
	list := []time.Duration{0}
	for _, r := range x.mesh.remotes() {
		if c := r.clock.Load(); c != nil && now.Sub(c.at).Abs() < clockLife {
			list = append(list, c.ahead)
		}
	}
	return median(list), len(list) - 1
}

// median of a list that is not empty; of an even number the mean of the two in the middle.
func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// Steady is nil where this node's clock is near enough its peers' for timers.
func (x *Exchange) Steady() error {
	if ahead, peers := x.Skew(); ahead.Abs() > MaxSkew {
		return fmt.Errorf("the clock is %v off the median of its own and %d peers', more than %v", -ahead.Round(time.Millisecond), peers, MaxSkew)
	}
	return nil
}
