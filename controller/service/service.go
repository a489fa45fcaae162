package service

import (
	"context"
	"net/netip"
	"time"

	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// Service answers every call about routes, routers, links and the log.
type Service struct {
	appender  Appender
	planes    DataPlanes
	history   History
	pins      pins
	deadlines deadlines
	archive   *history.Archive
	keys      *history.Feed // of what changed keys
	feed      *history.Feed // of everything
	fibs      fibs

	// Management, when set, gives the addresses of the cluster itself, whose paths a
	// preview looks at. Set it before the first call.
	Management func() []netip.Addr
}

// History is what is stored: eventlog.Log, as far as it is needed here.
type History = history.Log

// New makes a Service. It owns nothing that must be closed.
func New(a Appender, d DataPlanes, h History) *Service {
	return &Service{
		appender: a, planes: d, history: h, pins: pins{now: time.Now},
		archive: history.NewArchive(h), keys: history.NewFeed(h, aboutKeys), feed: history.NewFeed(h, nil),
	}
}

// FollowPast keeps states that passed and pass by, so that the near past is at hand,
// until ctx ends. Without it the past is rebuilt from snapshots alone.
func (s *Service) FollowPast(ctx context.Context, passed []*projector.State) {
	for _, st := range passed {
		s.archive.Remember(st)
	}
	s.archive.Follow(ctx, s.appender)
}

// Position is where this node's newest state is.
func (s *Service) Position() eventlog.Position { return s.appender.State().Position() }
