package service

import (
	"context"
	"io"
	"time"

	"dvr/eventlog"
)

// Service answers every call about routes, routers, links and the log.
type Service struct {
	appender  Appender
	planes    DataPlanes
	history   History
	pins      pins
	deadlines deadlines
	archive   archive
	feed      keyFeed
}

// History is what is stored: eventlog.Log, as far as it is needed here.
type History interface {
	Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error
	Low(ctx context.Context) (eventlog.Revision, error)
	Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error)
	Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error)
	OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error)
}

// New makes a Service. It owns nothing that must be closed.
func New(a Appender, d DataPlanes, h History) *Service {
	return &Service{
		appender: a, planes: d, history: h, pins: pins{now: time.Now},
		archive: archive{history: h, turn: make(chan struct{}, 1)}, feed: keyFeed{history: h, turn: make(chan struct{}, 1)},
	}
}

// Position is where this node's newest state is.
func (s *Service) Position() eventlog.Position { return s.appender.State().Position() }
