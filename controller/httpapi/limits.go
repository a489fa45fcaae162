package httpapi

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"dvr/controller/service"
)

// maxLimited is how many actors a node keeps count of; those that are gone
// longest are forgotten first.
const maxLimited = 4096

// limits is how many calls a second each actor may make at this node. The zero
// value limits nobody.
type limits struct {
	rate  float64 // calls a second; 0: no limit
	burst float64

	mu   sync.Mutex
	seen map[string]*bucket
}

// bucket is what an actor has left.
type bucket struct {
	tokens float64
	at     time.Time
}

// errTooFast is service.ErrOverloaded, of one actor.
var errTooFast = errors.New("too many calls")

// admit takes one call of the actor's. Errors: errTooFast, which is
// service.ErrOverloaded. Cost without a limit: a comparison.
func (l *limits) admit(actor string, now time.Time) error {
	if l.rate <= 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.seen[actor]
	if b == nil {
		if len(l.seen) >= maxLimited {
			l.forget(now)
		}
		if l.seen == nil {
			l.seen = map[string]*bucket{}
		}
		b = &bucket{tokens: l.burst}
		l.seen[actor] = b
	} else {
		b.tokens = min(l.burst, b.tokens+now.Sub(b.at).Seconds()*l.rate)
	}
	b.at = now
	if b.tokens < 1 {
		return fmt.Errorf("%w: %w of %s: %g a second are allowed (RATE_LIMIT)", service.ErrOverloaded, errTooFast, actor, l.rate)
	}
	b.tokens--
	return nil
}

// forget drops who has a full bucket again, or else the one gone longest.
func (l *limits) forget(now time.Time) {
	oldest := ""
	for actor, b := range l.seen {
		if b.tokens+now.Sub(b.at).Seconds()*l.rate >= l.burst {
			delete(l.seen, actor)
		} else if oldest == "" || b.at.Before(l.seen[oldest].at) {
			oldest = actor
		}
	}
	if len(l.seen) >= maxLimited {
		delete(l.seen, oldest)
	}
}
