package fibstream

import (
	"context"

	"dvr/controller/fibpb"
	"dvr/eventlog"
)

// questions are those of a kind that a data plane was asked and has not answered
// yet, by id; nil: the session has ended. Under the session's mutex.
type questions[T any] map[uint64]chan<- T

func lookupsOf(x *session) questions[*fibpb.LookupAnswer] { return x.lookups }
func auditsOf(x *session) questions[*fibpb.AuditReport]   { return x.audits }

// ask puts a question to router's data plane over its stream and waits for the
// answer. Errors: ErrNoDataPlane, ErrBusy, ctx's.
func ask[T any](ctx context.Context, s *Server, router eventlog.RouterID, of func(*session) questions[T], question func(id uint64) *fibpb.ControllerMessage) (T, error) {
	var none T
	s.registry.mu.Lock()
	var x *session
	if p := s.registry.planes[router]; p != nil {
		x = p.session
	}
	s.registry.mu.Unlock()
	if x == nil {
		return none, ErrNoDataPlane
	}
	id := s.questions.Add(1)
	answer := make(chan T, 1)
	x.mu.Lock()
	switch {
	case x.left:
		x.mu.Unlock()
		return none, ErrNoDataPlane
	case len(of(x)) >= maxQuestions || len(x.controls) >= maxControls:
		x.mu.Unlock()
		return none, ErrBusy
	}
	of(x)[id] = answer
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		delete(of(x), id)
		x.mu.Unlock()
	}()
	x.control(question(id))
	select {
	case m, ok := <-answer:
		if !ok {
			return none, ErrNoDataPlane
		}
		return m, nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// answered hands an answer to who asked; nobody may wait any more.
func answered[T any](x *session, of func(*session) questions[T], id uint64, m T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if answer := of(x)[id]; answer != nil {
		delete(of(x), id)
		answer <- m
	}
}

// abandon tells who waits that no answer will come.
func (q questions[T]) abandon() {
	for _, answer := range q {
		close(answer)
	}
}
