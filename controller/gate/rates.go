package gate

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rates is how often each of many may do something: a token bucket for each.
// Only those that came last are kept, so that memory is bounded whoever comes;
// who was forgotten begins with a full bucket. nil admits everybody. Safe for
// concurrent use.
type Rates[K comparable] struct {
	limit rate.Limit
	burst int
	kept  int

	mu    sync.Mutex
	of    map[K]*list.Element
	order list.List // of *bucket[K], the one that came last in front
}

type bucket[K comparable] struct {
	key K
	*rate.Limiter
}

// NewRates admits perSecond, and burst at once, of each of the last kept; nil
// where perSecond is 0.
func NewRates[K comparable](perSecond float64, burst, kept int) *Rates[K] {
	if perSecond <= 0 {
		return nil
	}
	return &Rates[K]{limit: rate.Limit(perSecond), burst: max(burst, 1), kept: kept, of: map[K]*list.Element{}}
}

// Take takes one token of key's; false: there is none. Cost: a lock and a lookup.
func (r *Rates[K]) Take(key K, now time.Time) bool {
	if r == nil {
		return true
	}
	return r.limiter(key).AllowN(now, 1)
}

// Wait takes one token of key's when there is one. Errors: where ctx ends before,
// at once if its deadline shows that it will.
func (r *Rates[K]) Wait(ctx context.Context, key K) error {
	if r == nil {
		return nil
	}
	return r.limiter(key).Wait(ctx)
}

// limiter is that of key, which came last now.
func (r *Rates[K]) limiter(key K) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.of[key]
	if e != nil {
		r.order.MoveToFront(e)
	} else {
		if len(r.of) >= r.kept {
			last := r.order.Back()
			delete(r.of, r.order.Remove(last).(*bucket[K]).key)
		}
		e = r.order.PushFront(&bucket[K]{key, rate.NewLimiter(r.limit, r.burst)})
		r.of[key] = e
	}
	return e.Value.(*bucket[K]).Limiter
}

// Spent reports whether Take would be false. It takes nothing.
func (r *Rates[K]) Spent(key K, now time.Time) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.of[key]
	return e != nil && e.Value.(*bucket[K]).TokensAt(now) < 1
}
