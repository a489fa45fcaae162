package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/cluster"
	"dvr/controller/etcdserver"
	"dvr/controller/httpapi"
	"dvr/eventlog"
)

// Between two attempts to begin with a log that is damaged or away.
const (
	firstAttempt = time.Second
	lastAttempt  = 30 * time.Second
)

// What a start waits for.
const (
	awaitsEtcd   = "etcd starts"
	awaitsQuorum = "waiting for a quorum of etcd's members"
	awaitsLog    = "opening the log in etcd"
	awaitsFold   = "folding the log"
)

// remedy is what an operator can do about damage that no history heals.
const remedy = "`dvr log verify` names the defect, `dvr log repair` rebuilds a lost head, and what else lacks must be put back from a copy (another member, a backup of the data directory)"

// startup knows what a node that does not serve yet waits for: it answers for
// the node until the API is open, and keeps trying what time or an operator may
// put right. Safe for concurrent use.
type startup struct {
	n    *Node // settings, listeners and log, which are there before anything starts
	etcd atomic.Pointer[etcdserver.Server]

	mu       sync.Mutex
	phase    string
	at, head eventlog.Revision
	failure  error     // of the last attempt, until one succeeds
	next     time.Time // the next attempt

	unreached error // why no external etcd could be reached when it was looked last

	pause  func(context.Context, time.Duration) // between attempts; tests shorten it
	repeat time.Duration                        // between two lines about the same phase
}

func newStartup(n *Node) *startup {
	return &startup{n: n, phase: awaitsEtcd, pause: sleep, repeat: 10 * time.Second}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// enter begins a phase of the start.
func (s *startup) enter(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
}

// folded is appender.Options.OnFold.
func (s *startup) folded(at, head eventlog.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.head = at, head
}

// persist repeats a step of the start until it succeeds, after pauses that
// double. It ends with ctx and with another node's log. A log that only a newer
// program reads is no reason to end: what starts the node again would do so for ever.
func (s *startup) persist(ctx context.Context, phase string, step func() error) error {
	defer s.tell(phase)()
	for pause := firstAttempt; ; pause = min(2*pause, lastAttempt) {
		s.enter(phase)
		err := step()
		switch {
		case err == nil:
			s.fail(nil, 0)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w, while %s: %w", context.Cause(ctx), phase, err)
		case errors.Is(err, cluster.ErrRefused):
			return err
		}
		s.fail(err, pause)
		s.pause(ctx, pause)
		if ctx.Err() != nil {
			return fmt.Errorf("%w, after: %w", context.Cause(ctx), err)
		}
	}
}

// tell logs what is awaited, at once, soon and again from time to time, until the
// function that it returns is called.
func (s *startup) tell(phase string) (stop func()) {
	begun := time.Now()
	fields := []zap.Field{zap.String("awaits", phase)}
	if external := s.n.settings.EtcdEndpoints; len(external) > 0 {
		fields = append(fields, zap.Strings("etcd_endpoints", external))
	}
	s.n.log.Info("starting", fields...)
	end, ended := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		t := time.NewTimer(min(s.repeat, firstLook))
		defer t.Stop()
		for {
			select {
			case <-end:
				return
			case <-t.C:
				s.still(ctx, append(fields[:len(fields):len(fields)], zap.Duration("for", time.Since(begun).Round(time.Millisecond))))
				t.Reset(s.repeat)
			}
		}
	}()
	return func() {
		close(end)
		cancel()
		<-ended
	}
}

// firstLook is when a start that is not done says so for the first time.
const firstLook = 3 * time.Second

// still says that the start goes on; where no external etcd can be reached, why.
func (s *startup) still(ctx context.Context, fields []zap.Field) {
	err := unreached(ctx, s.n.settings.EtcdEndpoints)
	s.mu.Lock()
	s.unreached = err
	s.mu.Unlock()
	if err != nil {
		s.n.log.Warn("still starting: no etcd at ETCD_ENDPOINTS can be reached", append(fields, zap.Error(err))...)
		return
	}
	s.n.log.Info("still starting", fields...)
}

// fail notes the outcome of an attempt.
func (s *startup) fail(err error, pause time.Duration) {
	s.mu.Lock()
	again := s.failure != nil
	s.failure, s.next = err, time.Now().Add(pause)
	s.mu.Unlock()
	next := zap.Duration("next_attempt_in", pause)
	switch {
	case err == nil && again:
		s.n.log.Info("the log can be read again")
	case err == nil:
	case errors.Is(err, eventlog.ErrLevel):
		s.n.log.Error("this node serves nothing until it is upgraded", zap.Error(sentence(err)))
	case !isDamage(err):
		s.n.log.Warn("the log is not available yet", zap.Error(err), next)
	default:
		s.n.log.Error("the log is damaged: this node serves nothing until that is healed", zap.Error(err), zap.String("remedy", remedy), next)
	}
}

// failed is the outcome of the last attempt; nil when it succeeded, or none was made.
func (s *startup) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// sentence is what of an ErrLevel operators need.
func sentence(err error) error {
	var e *eventlog.LevelError
	if errors.As(err, &e) {
		return e
	}
	return fmt.Errorf("this node supports format %d and level %d: %w: upgrade it", eventlog.Format, eventlog.MaxLevel, err)
}

// isDamage: waiting alone does not heal it.
func isDamage(err error) bool { return !errors.Is(err, eventlog.ErrUnavailable) }

// waiting is httpapi.FrontConfig.Waiting.
func (s *startup) waiting() httpapi.Waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := httpapi.Waiting{Revision: s.at, Head: s.head, Retry: time.Second}
	e := s.etcd.Load()
	switch {
	case errors.Is(s.failure, eventlog.ErrLevel):
		w.Outdated, w.Fault, w.Retry = true, sentence(s.failure).Error(), time.Until(s.next)
		w.Reason = "the log needs a newer program: " + w.Fault
	case s.failure != nil && isDamage(s.failure):
		w.Fault = s.failure.Error()
		w.Retry = time.Until(s.next)
		w.Reason = fmt.Sprintf("the log is damaged, and this node never folds around a hole: %s; it tries again by itself; %s", w.Fault, remedy)
	case e != nil && e.LeaderID() == 0:
		w.Reason = "the node is starting: " + awaitsQuorum
	case s.failure != nil:
		w.Reason = fmt.Sprintf("the node is starting: %s: %s", s.phase, s.failure)
	case s.phase == awaitsFold:
		w.Reason = fmt.Sprintf("the node is starting: %s, revision %d of %d", s.phase, s.at, s.head)
	default:
		w.Reason = "the node is starting: " + s.phase
		if external := s.n.settings.EtcdEndpoints; len(external) > 0 {
			w.Reason += " at " + strings.Join(external, ", ")
		}
		if s.unreached != nil {
			w.Reason += ": " + s.unreached.Error()
		}
	}
	return w
}

// Status implements httpapi.Node.
func (s *startup) Status() httpapi.NodeStatus {
	n := s.n
	out := httpapi.NodeStatus{
		NodeID: n.settings.NodeID, Etcd: "embedded", RaftState: "Candidate", Started: n.started,
		API: n.advertised(n.settings.API, n.api), FIB: n.advertised(n.settings.FIB, n.fib), Security: n.security(),
	}
	if len(n.settings.EtcdEndpoints) > 0 {
		out.Etcd, out.RaftState = "external", "External"
		return out
	}
	out.Raft = n.settings.Raft.Advertise
	if e := s.etcd.Load(); e != nil {
		out.Client = n.settings.Client.Advertise // its listener serves
		out.RaftState, out.Quorum = e.RaftState(), e.LeaderID() != 0
	}
	return out
}
