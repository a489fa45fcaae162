package peer

import "sync"

// Leadership says which node appends. It is a hint: the guard of the log's head
// keeps two appenders apart, whoever they are. Safe for concurrent use.
type Leadership interface {
	// Leader is the node that leads as far as is known here; false: none.
	// Cost: no I/O.
	Leader() (node string, ok bool)
	// Changed is closed when Leader may answer otherwise than at this call.
	Changed() <-chan struct{}
}

// signal is a broadcast: wait's channel is closed at the next raise.
type signal struct {
	mu sync.Mutex
	c  chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}

// hearsay is the Leadership of a node that has no knowledge of its own: what the
// others tell, the newest term first.
type hearsay struct{ x *Exchange }

func (h *hearsay) Leader() (string, bool) {
	var leader string
	var term uint64
	for _, r := range h.x.mesh.remotes() {
		t := r.told.Load()
		if t == nil || !t.lost.IsZero() || t.standing.GetLeader() == "" {
			continue
		}
		if leader == "" || t.standing.GetTerm() > term {
			leader, term = t.standing.GetLeader(), t.standing.GetTerm()
		}
	}
	return leader, leader != ""
}

func (h *hearsay) Changed() <-chan struct{} { return h.x.mesh.changed.wait() }
