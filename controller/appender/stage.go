package appender

import (
	"context"
	"fmt"
	"time"

	"dvr/eventlog"
)

// unstageWithin bounds the removal of a stage that was staged for nothing.
const unstageWithin = 2 * time.Second

// stageAllowance is for staging a commit and queueing it, beyond the time that is
// asked for its confirmation; where half of it was not enough, it is staged again, with
// four times what that took.
const stageAllowance = 2 * time.Second

// inquire asks the loop what it would do with p now: an answer from the
// idempotency window, a refusal, or neither (proceed). So what is known to be
// stored already, or not to be storable, is not staged first.
func (a *Appender) inquire(ctx context.Context, p *Pending) (res Result, proceed bool, err error) {
	q := &Pending{done: make(chan struct{}, 1), request: p.request, commit: p.commit, inquiry: true, size: requestSize}
	if err := a.enqueue(q); err != nil {
		return Result{}, false, err
	}
	res, err = q.Wait(ctx)
	return res, err == nil && res.Revision == 0, err
}

// stage stores the events of p beside the log and makes p's form the commit
// that refers to them. Every request has a stage of its own, so that whoever
// staged for nothing can remove it: see unstage.
func (a *Appender) stage(ctx context.Context, p *Pending) error {
	c := &p.commit
	var s *eventlog.CommitStaged
	allowance := stageAllowance
	for {
		// The confirmation of a staged commit travels in the parts with the rest: its
		// time is to be left when all of them are stored.
		began := a.options.Now()
		if p.deadline > 0 {
			p.confirmBy(a.deadline(&p.request, a.State()) + allowance.Milliseconds())
		}
		id := NewID(began)
		var err error
		if s, err = a.log.Stage(ctx, id, c.Events); err != nil {
			a.unstage(ctx, id)
			return fmt.Errorf("stage: %w", err)
		}
		took := a.options.Now().Sub(began)
		if p.deadline == 0 || took <= allowance/2 {
			break
		}
		a.unstage(ctx, id)
		allowance = 4 * took
	}
	stored := *c
	stored.Events = []eventlog.Event{s}
	p.form.encode(&stored)
	p.staged, p.stage = s.ID, s
	return nil
}

// unstage removes a stage to which no batch refers, even when the caller has
// gone. What it cannot remove is left to the Keeper's sweep.
func (a *Appender) unstage(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unstageWithin)
	defer cancel()
	if err := a.log.Unstage(ctx, id); err == nil {
		a.counts.unstaged.Add(1)
	}
}
