package robustness

import (
	"sync"
	"sync/atomic"
	"time"
)

// Recorder keeps every call of a run. It is safe for concurrent use.
type Recorder struct {
	began  time.Time
	values atomic.Uint64

	mu    sync.Mutex
	calls []*Call
}

// NewRecorder begins a record; times are measured from here, on the monotonic clock.
func NewRecorder() *Recorder { return &Recorder{began: time.Now()} }

// Value gives a value that no other call has: it fits a metric.
func (r *Recorder) Value() uint64 { return r.values.Add(1) }

// Elapsed is the time since the record began.
func (r *Recorder) Elapsed() time.Duration { return time.Since(r.began) }

// Begin notes the invocation of c, before anything is sent.
func (r *Recorder) Begin(c *Call) {
	c.Outcome, c.Begin = Unknown, r.Elapsed()
	r.mu.Lock()
	r.calls = append(r.calls, c)
	r.mu.Unlock()
}

// End notes that c has its outcome, after the answer was read.
func (r *Recorder) End(c *Call) { c.End = r.Elapsed() }

// Calls is every call that has begun, in that order. No call may be under way.
func (r *Recorder) Calls() []*Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}
