package service

import (
	"context"
	"fmt"
	"net/netip"

	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// Blame is who made a destination what it is, and a page of what it went through.
type Blame struct {
	View
	Prefix     netip.Prefix
	Candidates []projector.Candidate // those there are
	// Commits are those that last set the candidates, as far as they are retained.
	Commits map[eventlog.Revision]history.Commit
	// Earlier are the commits that touched the destination, newest first, those of
	// Commits included, with their events about it.
	Earlier []history.Commit
	Before  eventlog.Revision // where the next page goes on; 0: nowhere
	Low     eventlog.Revision // where the log begins
}

// Blame tells of a destination the commit that set each candidate, and the
// commits that touched it, newest first, at most limit, before a revision (0:
// the newest). Cost: the log is read backwards; a page ends after 64 MiB of it.
// Errors: ErrNotFound where the destination is absent and no retained commit
// touched it, ErrGone.
func (s *Service) Blame(ctx context.Context, r Read, destination netip.Prefix, before eventlog.Revision, limit int) (Blame, error) {
	v, err := s.View(ctx, r, true)
	if err != nil {
		return Blame{}, err
	}
	out := Blame{View: v, Prefix: destination}
	if out.Low, err = s.history.Low(ctx); err != nil {
		return out, history.Missing(ctx, s.history, 0, err)
	}
	hi := v.State.Position().Revision
	d, exists := v.State.Destination(destination)
	if exists {
		out.Candidates = d.Candidates
		hi = d.Revision
		var revisions []eventlog.Revision
		for i := range d.Candidates {
			revisions = append(revisions, d.Candidates[i].Revision)
		}
		if out.Commits, err = history.CommitsAt(ctx, s.history, revisions); err != nil {
			return out, err
		}
	}
	if before > 0 {
		hi = min(hi, before-1)
	}
	var sieve history.Sieve
	sieve.Add(destination)
	scan := history.Scan{Log: s.history, Low: out.Low, Limit: limit, Skip: sieve.Elsewhere, Want: func(e eventlog.Event) bool {
		switch e := e.(type) {
		case *eventlog.RouteAnnounced:
			return e.Destination == destination
		case *eventlog.RouteWithdrawn:
			return e.Destination == destination
		}
		return false
	}}
	if out.Earlier, out.Before, err = scan.Run(ctx, hi); err != nil {
		return out, err
	}
	if len(out.Earlier) == 0 && out.Before == 0 && before == 0 && !exists {
		return out, v.absent(r, fmt.Errorf("destination %s: %w: no commit from revision %d on touched it", destination, ErrNotFound, out.Low))
	}
	return out, nil
}
