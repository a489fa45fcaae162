package launcher

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// What a supervisor is doing.
const (
	stateStopped  = "stopped"
	stateRunning  = "running"
	stateStopping = "stopping"
	stateWaiting  = "waiting" // for the next start, after a failure
)

// stopTime is what a program gets to end in order before it is killed. A node
// needs about a second, and some more where calls and streams drain.
const stopTime = 30 * time.Second

// runner starts a program or finds it running.
type runner interface {
	start() (process, error)
	adopt() (process, error)
}

// supervisor keeps one program as it is wanted. Its methods are safe for
// concurrent use and return at once, except Ended.
type supervisor struct {
	runner  runner
	changed func() // called after every change of status, without locks held
	kick    chan struct{}
	looked  chan struct{} // closed once an adoption was tried

	mu       sync.Mutex
	wanted   bool
	restarts uint64 // asked for
	status   supervised
	moved    chan struct{} // closed at the next change of status
}

// supervised is what a supervisor tells.
type supervised struct {
	State     string // "" before an adoption was tried, and until what came of it
	PID       int
	Since     time.Time // of the state
	Restarts  int       // after failures, since the launcher began
	Adopted   bool
	LastError string
}

func newSupervisor(r runner, changed func()) *supervisor {
	return &supervisor{runner: r, changed: changed, kick: make(chan struct{}, 1),
		looked: make(chan struct{}), moved: make(chan struct{})}
}

func (s *supervisor) want(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Start wants the program running. One that is stopping is started when it has
// ended, one that waits after a failure at once.
func (s *supervisor) Start() {
	s.want(func() {
		s.wanted = true
		if s.status.State == stateWaiting {
			s.restarts++
		}
	})
}

// Stop wants it ended.
func (s *supervisor) Stop() { s.want(func() { s.wanted = false }) }

// Restart ends it, if it runs, and starts it.
func (s *supervisor) Restart() { s.want(func() { s.wanted = true; s.restarts++ }) }

// Status is cheap.
func (s *supervisor) Status() supervised {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Ended waits until no process runs and none is wanted.
func (s *supervisor) Ended(ctx context.Context) error {
	for {
		s.mu.Lock()
		ended, moved := s.status.State == stateStopped && !s.wanted, s.moved
		s.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *supervisor) set(change func(*supervised)) {
	s.mu.Lock()
	before := s.status
	change(&s.status)
	if s.status.State != before.State && s.status.Since.Equal(before.Since) {
		s.status.Since = time.Now()
	}
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
	s.changed()
}

func (s *supervisor) asked() (wanted bool, restarts uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted, s.restarts
}

// run supervises until ctx ends, and then leaves the process alone. A process
// that an earlier launcher left is adopted first, wanted or not, so that none
// is forgotten.
func (s *supervisor) run(ctx context.Context) {
	var (
		p     process
		tries backoff
		next  time.Time // of the next start
		done  uint64    // restarts that were carried out
	)
	if found, err := s.runner.adopt(); found != nil {
		p = found
		s.running(p, true)
		if err != nil {
			s.set(func(v *supervised) { v.LastError = err.Error() })
		}
	} else if err != nil {
		s.set(func(v *supervised) { v.LastError = err.Error() })
	}
	close(s.looked)
	failed := func(run time.Duration, why string) {
		delay := tries.after(run)
		next = time.Now().Add(delay)
		s.set(func(v *supervised) {
			v.State, v.PID, v.Adopted = stateWaiting, 0, false
			v.Restarts++
			v.LastError = why
		})
	}
	for ctx.Err() == nil {
		wanted, restarts := s.asked()
		switch {
		case p != nil && (!wanted || restarts != done):
			if p = s.stop(ctx, p); p != nil {
				continue // ctx ended
			}
			done, next, tries = restarts, time.Time{}, backoff{}
			s.set(func(v *supervised) { v.State, v.PID, v.Adopted = stateStopped, 0, false })
		case p != nil:
			select {
			case <-p.done():
				failed(time.Since(p.since()), p.outcome())
				p.release()
				p = nil
			case <-s.kick:
			case <-ctx.Done():
			}
		case !wanted:
			if s.Status().State != stateStopped {
				s.set(func(v *supervised) { v.State = stateStopped })
			}
			next, tries = time.Time{}, backoff{}
			select {
			case <-s.kick:
			case <-ctx.Done():
			}
		default:
			if restarts != done { // the operator does not wait for the back-off
				done, next = restarts, time.Time{}
			}
			if pause := time.Until(next); pause > 0 {
				t := time.NewTimer(pause)
				select {
				case <-t.C:
				case <-s.kick:
				case <-ctx.Done():
				}
				t.Stop()
				continue
			}
			started, err := s.runner.start()
			if err != nil {
				failed(0, err.Error())
				continue
			}
			p = started
			s.running(p, false)
		}
	}
	if p != nil {
		p.release()
	}
}

func (s *supervisor) running(p process, adopted bool) {
	s.set(func(v *supervised) { v.State, v.PID, v.Adopted, v.Since = stateRunning, p.pid(), adopted, p.since() })
}

// stop ends the process, in order if it can; nil once it has ended.
func (s *supervisor) stop(ctx context.Context, p process) process {
	s.set(func(v *supervised) { v.State = stateStopping })
	_ = p.signal(syscall.SIGTERM) // fails where it has ended, which done tells
	t := time.NewTimer(stopTime)
	defer t.Stop()
	for killed := false; ; {
		select {
		case <-p.done():
			p.release()
			s.set(func(v *supervised) {
				if v.LastError = ""; killed {
					v.LastError = fmt.Sprintf("did not end within %v and was killed", stopTime)
				}
			})
			return nil
		case <-t.C:
			_ = p.signal(syscall.SIGKILL)
			killed = true
		case <-ctx.Done():
			return p
		}
	}
}
