package launcher

import "time"

// Limits of the back-off between starts of a program that does not stay up.
const (
	firstDelay  = 250 * time.Millisecond
	longest     = 30 * time.Second
	settledTime = time.Minute // a run this long counts as a good one
)

// backoff counts starts that came to nothing.
type backoff struct{ failures int }

// after is the pause before the next start, given how long the last run was;
// 0 for a start that failed.
func (b *backoff) after(run time.Duration) time.Duration {
	if run >= settledTime {
		b.failures = 0
	}
	b.failures++
	if b.failures > 8 { // 250 ms · 2⁷ is beyond the longest
		return longest
	}
	return min(longest, firstDelay<<(b.failures-1))
}
