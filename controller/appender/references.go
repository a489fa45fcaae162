package appender

import (
	"context"
	"fmt"

	"dvr/eventlog"
)

// references are the stages that the retained batches refer to. They are read
// from the log when somebody first asks, then only what was appended since:
// one id a staged commit is held.
type references struct {
	of    map[string]eventlog.Revision
	at    eventlog.Revision // read up to here
	epoch uint64            // another one may continue another history: all is read again
}

// has says whether a batch up to the log's present head refers to the stage.
func (r *references) has(ctx context.Context, log eventlog.Log, id string) (bool, error) {
	if err := r.read(ctx, log); err != nil {
		return false, fmt.Errorf("read which stages are in use: %w", err)
	}
	_, ok := r.of[id]
	return ok, nil
}

func (r *references) read(ctx context.Context, log eventlog.Log) error {
	head, err := log.Head(ctx)
	if err != nil {
		return err
	}
	low, err := log.Low(ctx)
	if err != nil {
		return err
	}
	if r.of == nil || head.Epoch != r.epoch || head.Revision < r.at {
		*r = references{of: map[string]eventlog.Revision{}, epoch: head.Epoch}
	}
	for id, at := range r.of {
		if at < low {
			delete(r.of, id)
		}
	}
	r.at = max(r.at, low-1)
	if r.at == head.Revision {
		return nil
	}
	return log.Read(ctx, r.at, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if len(c.Events) != 1 {
				continue
			}
			if s, ok := c.Events[0].(*eventlog.CommitStaged); ok {
				r.of[s.ID] = c.Revision
			}
		}
		r.at = b.Last()
		return nil
	})
}
