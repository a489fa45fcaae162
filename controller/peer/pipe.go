package peer

import (
	"context"
	"runtime"
	"sync"
	"time"

	"dvr/controller/peerpb"
)

const (
	// maxFrame is the most record bytes in a frame.
	maxFrame = 256 << 10
	// beat is the longest silence of a side that lives; deaf is when the other
	// one is given up.
	beat = 500 * time.Millisecond
	deaf = 2500 * time.Millisecond
)

// pipe is the sending side of a link: records gather while a frame is sent.
type pipe struct {
	mu       sync.Mutex
	pending  []byte
	standing *peerpb.Standing // to be told, nil: nothing new
	wake     chan struct{}
	now      func() time.Time
}

func newPipe(now func() time.Time) *pipe { return &pipe{wake: make(chan struct{}, 1), now: now} }

// request adds a change to what the next frame takes.
func (p *pipe) request(r request) {
	p.mu.Lock()
	idle := len(p.pending) == 0
	p.pending = appendRequest(p.pending, r)
	p.mu.Unlock()
	if idle {
		p.poke()
	}
}

// answer adds an answer to what the next frame takes.
func (p *pipe) answer(a *answer) {
	if p.add(a) {
		p.poke()
	}
}

// add is answer without waking who sends, which is left to the caller where
// nothing was waiting to be sent.
func (p *pipe) add(a *answer) (idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle = len(p.pending) == 0
	p.pending = appendAnswer(p.pending, a)
	return idle
}

// tell replaces the standing that is to be sent.
func (p *pipe) tell(s *peerpb.Standing) {
	p.mu.Lock()
	p.standing = s
	p.mu.Unlock()
	p.poke()
}

func (p *pipe) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run sends until ctx ends or sending fails. It gives the processor away once
// before it takes what has gathered, so that callers who were woken together
// share a frame.
func (p *pipe) run(ctx context.Context, send func(*peerpb.Frame) error) error {
	t := time.NewTicker(beat)
	defer t.Stop()
	var spare []byte
	for {
		clock := uint64(0)
		select {
		case <-p.wake:
			runtime.Gosched()
		case <-t.C:
			clock = uint64(p.now().UnixMilli())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		p.mu.Lock()
		raw, standing := p.pending, p.standing
		p.pending, p.standing = spare[:0], nil
		p.mu.Unlock()
		spare = raw
		if cap(spare) > 4*maxFrame {
			spare = nil
		}
		for first := true; first || len(raw) > 0; first = false {
			n := min(len(raw), maxFrame)
			if err := send(&peerpb.Frame{Records: raw[:n], Standing: standing, ClockMs: clock}); err != nil {
				return err
			}
			raw, standing, clock = raw[n:], nil, 0
		}
	}
}
