package observe

import (
	"math"
	"time"
)

// The dampener's figures, in the spirit of RFC 2439: each failure adds a penalty,
// which halves every halfLife. Above suppressAbove a link that is up again counts
// as down until the penalty has fallen to reuseBelow. The most that a link is held
// down after its last failure is mostHeld.
const (
	perFailure    = 1000
	suppressAbove = 2500
	reuseBelow    = 1000
	halfLife      = 15 * time.Second
	mostHeld      = time.Minute
)

// ceiling decays to reuseBelow within mostHeld.
var ceiling = reuseBelow * math.Exp2(float64(mostHeld)/float64(halfLife))

// dampener is the penalty of one link as one router sees it. The zero value has none.
type dampener struct {
	penalty    float64
	at         time.Time // of penalty
	suppressed bool
}

// decayed is the penalty now.
func (d *dampener) decayed(now time.Time) float64 {
	if d.penalty == 0 {
		return 0
	}
	return d.penalty * math.Exp2(-float64(max(0, now.Sub(d.at)))/float64(halfLife))
}

// failed notes that the link went down.
func (d *dampener) failed(now time.Time) {
	d.penalty = min(d.decayed(now)+perFailure, ceiling)
	d.at = now
	d.suppressed = d.suppressed || d.penalty > suppressAbove
}

// held is how long a link that is up must still count as down; 0: not any more.
func (d *dampener) held(now time.Time) time.Duration {
	if !d.suppressed {
		return 0
	}
	left := time.Duration(float64(halfLife) * math.Log2(d.penalty/reuseBelow))
	if left -= now.Sub(d.at); left > 0 {
		return left
	}
	d.suppressed = false
	return 0
}

// spent reports that nothing of the past matters any more.
func (d *dampener) spent(now time.Time) bool { return d.held(now) == 0 && d.decayed(now) < 1 }
