package launcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	var b backoff
	ms := time.Millisecond
	for i, want := range []time.Duration{250 * ms, 500 * ms, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, longest, longest, longest} {
		if got := b.after(settledTime - 1); got != want {
			t.Errorf("failure %d: %v, want %v", i+1, got, want)
		}
	}
	b.failures = 1 << 40 // no shift runs over
	if got := b.after(0); got != longest {
		t.Errorf("after very many: %v", got)
	}
	if got := b.after(settledTime); got != firstDelay {
		t.Errorf("after a good run: %v", got)
	}
	if got := b.after(0); got != 2*firstDelay {
		t.Errorf("then: %v", got)
	}
}

// puppet is a process in virtual time.
type puppet struct {
	id       int
	started  time.Time
	ended    chan struct{}
	once     sync.Once
	stubborn bool // ignores SIGTERM
	slow     time.Duration

	mu       sync.Mutex
	signals  []syscall.Signal
	released bool
}

func (p *puppet) pid() int              { return p.id }
func (p *puppet) since() time.Time      { return p.started }
func (p *puppet) done() <-chan struct{} { return p.ended }
func (p *puppet) outcome() string       { return "came to an end" }
func (p *puppet) end()                  { p.once.Do(func() { close(p.ended) }) }

func (p *puppet) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.released = true
}

func (p *puppet) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signals = append(p.signals, s)
	switch {
	case s == syscall.SIGKILL:
		p.end()
	case !p.stubborn:
		time.AfterFunc(p.slow, p.end)
	}
	return nil
}

func (p *puppet) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stage is a runner of puppets.
type stage struct {
	mu      sync.Mutex
	puppets []*puppet
	at      []time.Duration // of each start, failed ones too
	begin   time.Time
	found   *puppet // to be adopted
	refuse  error
	make    func(*puppet)
}

func (s *stage) adopt() (process, error) {
	if s.found == nil {
		return nil, nil
	}
	return s.found, nil
}

func (s *stage) start() (process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Since(s.begin))
	if s.refuse != nil {
		return nil, s.refuse
	}
	for _, p := range s.puppets {
		if p.alive() {
			panic("started while another one runs")
		}
	}
	p := &puppet{id: 100 + len(s.puppets), started: time.Now(), ended: make(chan struct{})}
	if s.make != nil {
		s.make(p)
	}
	s.puppets = append(s.puppets, p)
	return p, nil
}

func (s *stage) last() *puppet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puppets[len(s.puppets)-1]
}

// play runs a supervisor in virtual time.
func play(t *testing.T, s *stage, f func(*supervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.begin = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		v := newSupervisor(s, func() {})
		done := make(chan struct{})
		go func() {
			defer close(done)
			v.run(ctx)
		}()
		synctest.Wait()
		f(v)
		cancel()
		<-done
	})
}

func expect(t *testing.T, v *supervisor, state string, pid int) {
	t.Helper()
	synctest.Wait()
	if s := v.Status(); s.State != state || s.PID != pid {
		t.Errorf("%+v, want %s with pid %d", s, state, pid)
	}
}

func TestSupervisorRestartsWithBackoff(t *testing.T) {
	s := &stage{}
	play(t, s, func(v *supervisor) {
		expect(t, v, stateStopped, 0)
		v.Start()
		expect(t, v, stateRunning, 100)
		for range 4 {
			s.last().end()
			synctest.Wait()
			if st := v.Status(); st.State != stateWaiting || st.LastError != "came to an end" {
				t.Errorf("%+v", st)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		want := []time.Duration{0, 250 * time.Millisecond, 5500 * time.Millisecond, 11 * time.Second, 17 * time.Second}
		if !slices.Equal(s.at, want) {
			t.Errorf("started at %v, want %v", s.at, want)
		}
		expect(t, v, stateRunning, 104)
		if st := v.Status(); st.Restarts != 4 || st.LastError != "came to an end" {
			t.Errorf("%+v", st)
		}
		// A long run counts as a good one.
		time.Sleep(settledTime)
		s.last().end()
		time.Sleep(firstDelay)
		expect(t, v, stateRunning, 105)
	})
}

func TestSupervisorCannotStart(t *testing.T) {
	s := &stage{refuse: errors.New("port 9000 is in use")}
	play(t, s, func(v *supervisor) {
		v.Start()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if want := []time.Duration{0, 250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond}; !slices.Equal(s.at, want) {
			t.Errorf("tried at %v, want %v", s.at, want)
		}
		if st := v.Status(); st.State != stateWaiting || st.LastError != "port 9000 is in use" || st.Restarts != 4 {
			t.Errorf("%+v", st)
		}
		s.refuse = nil
		v.Start() // the operator does not wait for the back-off
		expect(t, v, stateRunning, 100)
	})
}

func TestSupervisorStop(t *testing.T) {
	s := &stage{make: func(p *puppet) { p.slow = 3 * time.Second }}
	play(t, s, func(v *supervisor) {
		v.Start()
		synctest.Wait()
		v.Stop()
		expect(t, v, stateStopping, 100)
		begin := time.Now()
		if err := v.Ended(context.Background()); err != nil || time.Since(begin) != 3*time.Second {
			t.Errorf("ended after %v: %v", time.Since(begin), err)
		}
		expect(t, v, stateStopped, 0)
		time.Sleep(time.Hour)
		expect(t, v, stateStopped, 0)
		if st := v.Status(); st.Restarts != 0 || st.LastError != "" || len(s.puppets) != 1 || !s.puppets[0].released {
			t.Errorf("%+v, %d started", st, len(s.puppets))
		}
	})
}

// TestSupervisorStartOfAStopping: it waits for the end, then starts once.
func TestSupervisorStartOfAStopping(t *testing.T) {
	s := &stage{make: func(p *puppet) { p.slow = 3 * time.Second }}
	play(t, s, func(v *supervisor) {
		v.Start()
		synctest.Wait()
		v.Stop()
		synctest.Wait()
		v.Start()
		expect(t, v, stateStopping, 100)
		time.Sleep(2999 * time.Millisecond)
		expect(t, v, stateStopping, 100)
		time.Sleep(time.Millisecond)
		expect(t, v, stateRunning, 101)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := v.Ended(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended though it is wanted: %v", err)
		}
		if len(s.puppets) != 2 || !slices.Equal(s.puppets[0].signals, []syscall.Signal{syscall.SIGTERM}) {
			t.Errorf("%d started, the first got %v", len(s.puppets), s.puppets[0].signals)
		}
	})
}

func TestSupervisorKillsTheStubborn(t *testing.T) {
	s := &stage{make: func(p *puppet) { p.stubborn = true }}
	play(t, s, func(v *supervisor) {
		v.Start()
		synctest.Wait()
		v.Stop()
		time.Sleep(stopTime - 1)
		expect(t, v, stateStopping, 100)
		time.Sleep(1)
		expect(t, v, stateStopped, 0)
		if got := s.last().signals; !slices.Equal(got, []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}) || v.Status().LastError == "" {
			t.Errorf("%v, %+v", got, v.Status())
		}
	})
}

func TestSupervisorRestart(t *testing.T) {
	s := &stage{make: func(p *puppet) { p.slow = time.Second }}
	play(t, s, func(v *supervisor) {
		v.Restart() // of a stopped one: a start
		expect(t, v, stateRunning, 100)
		v.Restart()
		expect(t, v, stateStopping, 100)
		v.Restart() // the same wish
		time.Sleep(time.Second)
		expect(t, v, stateRunning, 101)
		time.Sleep(time.Hour)
		expect(t, v, stateRunning, 101)
		if st := v.Status(); st.Restarts != 0 || len(s.puppets) != 2 {
			t.Errorf("%+v, %d started", st, len(s.puppets))
		}
	})
}

func TestSupervisorStopsWhileItWaits(t *testing.T) {
	s := &stage{}
	play(t, s, func(v *supervisor) {
		v.Start()
		synctest.Wait()
		s.last().end()
		synctest.Wait()
		v.Stop()
		expect(t, v, stateStopped, 0)
		time.Sleep(time.Hour)
		expect(t, v, stateStopped, 0)
		v.Start()
		expect(t, v, stateRunning, 101)
	})
}

func TestSupervisorAdopts(t *testing.T) {
	begin := time.Now()
	found := func() *puppet { return &puppet{id: 7, started: begin, ended: make(chan struct{})} }
	t.Run("wanted", func(t *testing.T) {
		var p *puppet
		s := &stage{}
		synctest.Test(t, func(t *testing.T) {
			p = found()
			s.found = p
			ctx, cancel := context.WithCancel(t.Context())
			v := newSupervisor(s, func() {})
			v.Start()
			done := make(chan struct{})
			go func() { defer close(done); v.run(ctx) }()
			synctest.Wait()
			if st := v.Status(); st.State != stateRunning || st.PID != 7 || !st.Adopted || !st.Since.Equal(begin) || len(s.puppets) != 0 {
				t.Errorf("%+v, %d started", st, len(s.puppets))
			}
			p.end() // what was adopted is restarted like any other
			time.Sleep(longest)
			expect(t, v, stateRunning, 100)
			if v.Status().Adopted {
				t.Error("the new one counts as adopted")
			}
			// The end of supervision is not the end of the process.
			cancel()
			<-done
			if last := s.last(); !last.alive() || !last.released || len(last.signals) > 0 {
				t.Errorf("alive %v, released %v, signals %v", last.alive(), last.released, last.signals)
			}
		})
	})
	t.Run("not wanted", func(t *testing.T) { // a stop that the launcher did not live to see
		synctest.Test(t, func(t *testing.T) {
			p := found()
			v := newSupervisor(&stage{found: p}, func() {})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			ended := make(chan error)
			go func() { ended <- v.Ended(ctx) }() // before anything is known of the process
			synctest.Wait()
			go func() { defer close(done); v.run(ctx) }()
			if err := <-ended; err != nil || p.alive() {
				t.Errorf("%v, alive %v", err, p.alive())
			}
			cancel()
			<-done
		})
	})
}
