package service

import (
	"context"
	"errors"
	"strings"
	"testing"

	"dvr/eventlog"
)

// lagging never reaches the log's head.
type lagging struct{ Appender }

func (lagging) Barrier(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestCaughtUp: a node is caught up when its state is at the log's head, not
// only when nothing has failed.
func TestCaughtUp(t *testing.T) {
	s, log := newService(t)
	ctx := context.Background()
	if err := s.CaughtUp(ctx); err != nil {
		t.Error(err)
	}
	log.Faults().Down(eventlog.ErrUnavailable)
	if err := s.CaughtUp(ctx); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the head cannot be read: %v", err)
	}
	log.Faults().Down(nil)
	if err := s.CaughtUp(ctx); err != nil {
		t.Errorf("healed: %v", err)
	}
	s.appender = lagging{s.appender}
	if err := s.CaughtUp(ctx); !errors.Is(err, ErrBehind) || !strings.Contains(err.Error(), "at revision 1") {
		t.Errorf("behind: %v", err)
	}
}
