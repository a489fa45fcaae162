package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"dvr/controller/gate"
	"dvr/controller/service"
)

// maxLimited is how many actors a node keeps count of; those that came longest
// ago are forgotten first.
const maxLimited = 4096

// Refusals of who asks too much. Both are service.ErrOverloaded.
var (
	errTooFast = errors.New("too many calls")
	errFlood   = fmt.Errorf("%w: too many calls of nobody known come from this address (STRANGER_LIMIT)", service.ErrOverloaded)
)

// hurried refuses the calls of an actor beyond his rate.
func (s *Server) hurried(actor string) error {
	if s.rates.Take(actor, time.Now()) {
		return nil
	}
	return fmt.Errorf("%w: %w of %s: %g a second are allowed (RATE_LIMIT)", service.ErrOverloaded, errTooFast, actor, s.rateLimit)
}

// paced waits until the actor may make another call, and takes it: each commit of
// an import is one. Errors: as hurried's, where ctx ends, or would end, before.
func (s *Server) paced(ctx context.Context, actor string) error {
	if err := s.rates.Wait(ctx, actor); err != nil {
		return fmt.Errorf("%w: %w of %s: %g a second are allowed (RATE_LIMIT): %w", service.ErrOverloaded, errTooFast, actor, s.rateLimit, err)
	}
	return nil
}

// unheard is err; where it is that nobody knows the caller, and his source has
// had too many of such answers, it is errFlood.
func unheard(sources *gate.Sources, r *http.Request, err error) error {
	if row, _ := rowOf(err); row.status == http.StatusUnauthorized && !sources.Refuse(r.RemoteAddr, time.Now()) {
		return errFlood
	}
	return err
}

// shares is how much each actor has of what all share. The zero value is of
// nothing taken. Safe for concurrent use.
type shares struct {
	mu sync.Mutex
	of map[string]int64 // of those who have some
}

// take takes n where the actor then has at most most. "" is nobody, who has no
// share of his own: he takes what there is.
func (s *shares) take(actor string, n, most int64) bool {
	if actor == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[actor]+n > most {
		return false
	}
	if s.of == nil {
		s.of = map[string]int64{}
	}
	s.of[actor] += n
	return true
}

// give gives back what take took.
func (s *shares) give(actor string, n int64) {
	if actor == "" || n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[actor] -= n; s.of[actor] == 0 {
		delete(s.of, actor)
	}
}

// authenticated is the actor of a call that was admitted; "": nobody was asked.
func authenticated(r *http.Request) string {
	if v := r.Header[callerHeader]; len(v) > 0 {
		return v[0]
	}
	return ""
}
