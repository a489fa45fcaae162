package etcdserver

import (
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	// repeatPause is how often an entry that repeats is written.
	repeatPause = 30 * time.Second
	// mostRepeats bounds the messages that are remembered: etcd's are constants,
	// but for a few that are formatted.
	mostRepeats = 512
)

// Fields that tell of which member an entry is: the same of another is news.
var peerFields = []string{"to", "remote-peer-id", "peer-id", "target-member-id", "round-tripper-name"}

// repeatKey is what makes two entries the same.
type repeatKey struct {
	level         zapcore.Level
	message, peer string
}

type repeat struct {
	written time.Time
	since   int // not written since then
}

// repeats decides which entries are written. It is safe for concurrent use.
type repeats struct {
	mu sync.Mutex
	of map[repeatKey]*repeat
}

// admit tells whether the entry of that time is written, and how many were not
// since the last one that was.
func (r *repeats) admit(key repeatKey, now time.Time) (more int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.of[key]
	switch {
	case p == nil:
		if len(r.of) >= mostRepeats {
			clear(r.of)
		}
		r.of[key] = &repeat{written: now}
		return 0, true
	case now.Sub(p.written) < repeatPause:
		p.since++
		return 0, false
	}
	more = p.since
	*p = repeat{written: now}
	return more, true
}
