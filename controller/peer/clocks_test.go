package peer

import (
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []time.Duration
		want time.Duration
	}{
		{[]time.Duration{0}, 0}, {[]time.Duration{0, 6}, 3}, {[]time.Duration{9, 0, 1}, 1}, {[]time.Duration{-5, 0, 2, 100}, 1},
	} {
		if got := median(c.list); got != c.want {
			t.Errorf("%v: %v, want %v", c.list, got, c.want)
		}
	}
}

// TestSteady: of three nodes the one whose clock is off knows it, and the others go on.
func TestSteady(t *testing.T) {
	c := newSkewedCluster(t, 3, map[string]time.Duration{"n2": -time.Minute})
	for id, n := range c.nodes {
		eventually(t, "all clocks are told", func() bool { _, peers := n.exchange.Skew(); return peers == 2 })
		ahead, _ := n.exchange.Skew()
		err := n.exchange.Steady()
		if off := id == "n2"; off != (err != nil) || off && (ahead < 58*time.Second || ahead > 61*time.Second) {
			t.Errorf("%s: %v, %v", id, ahead, err)
		}
	}
}
