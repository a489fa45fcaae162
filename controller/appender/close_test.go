package appender

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"dvr/eventlog"
	"dvr/projector"
)

// TestCloseWhileLanding: the outcome of what flies arrives while the loop is
// busy, and the appender is closed by then. Whether the loop looks at the
// outcome or at the end first is chance, hence the rounds.
func TestCloseWhileLanding(t *testing.T) {
	for range 24 {
		log := newLog()
		flies, cut, landed, judged := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
		a := open(t, log, Options{Judge: func(_ *projector.State, c *eventlog.Commit) error {
			if c.ID == "second" {
				close(judged)
				<-landed
				for range 1000 { // its outcome is a few statements away
					runtime.Gosched()
				}
			}
			return nil
		}})
		log.Faults().BeforeAppend(func(ctx context.Context) error {
			close(flies)
			<-ctx.Done()
			<-cut
			close(landed)
			return ctx.Err()
		})
		o := newOutcomes()
		if err := a.SubmitTo(o, Tag{1}, request("first", route(1))); err != nil {
			t.Fatal(err)
		}
		<-flies
		if err := a.SubmitTo(o, Tag{2}, request("second", route(2))); err != nil {
			t.Fatal(err)
		}
		<-judged
		closed := make(chan struct{})
		go func() { defer close(closed); _ = a.Close() }()
		<-a.ctx.Done()
		close(cut)
		<-closed
		if got := o.only(t, Tag{1}); !errors.Is(got.err, eventlog.ErrOutcomeUnknown) {
			t.Errorf("in flight: %v", got.err)
		}
		if got := o.only(t, Tag{2}); !errors.Is(got.err, ErrClosed) {
			t.Errorf("waiting: %v", got.err)
		}
	}
}
