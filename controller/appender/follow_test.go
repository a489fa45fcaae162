package appender

import (
	"context"
	"sync/atomic"
	"testing"

	"dvr/eventlog"
)

// watchedFollow counts what Follow delivers and how often it was left.
type watchedFollow struct {
	eventlog.Log
	delivered, left atomic.Int64
}

func (w *watchedFollow) Follow(ctx context.Context, after eventlog.Head, f func(*eventlog.Batch, eventlog.Head) error) error {
	defer w.left.Add(1)
	return w.Log.Follow(ctx, after, func(b *eventlog.Batch, h eventlog.Head) error {
		defer w.delivered.Add(1)
		return f(b, h)
	})
}

// TestWriterLeavesItsOwnEcho: who writes batch after batch alone stops following,
// also where what it hears of itself keeps up with what it writes.
func TestWriterLeavesItsOwnEcho(t *testing.T) {
	log := &watchedFollow{Log: newLog()}
	a := open(t, log, Options{})
	for i := range busyBatches {
		before := log.delivered.Load()
		appendOK(t, a, request("", route(i)))
		eventually(t, "its own batch comes back, or it has left", func() bool {
			return log.delivered.Load() > before || log.left.Load() > 0
		})
	}
	eventually(t, "it stops following", func() bool { return log.left.Load() > 0 })
	eventually(t, "it follows again once it is quiet", func() bool {
		before := log.delivered.Load()
		other := open(t, log.Log, Options{Node: "other"})
		appendOK(t, other, request("", route(1000)))
		return a.Wait(testContext(t), other.State().Position().Revision) == nil && log.delivered.Load() > before
	})
	sameAsLog(t, a)
}
