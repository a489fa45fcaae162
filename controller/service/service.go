package service

import (
	"context"
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
}

// History reads committed batches: eventlog.Log, as far as it is needed here.
type History interface {
	Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error
	Low(ctx context.Context) (eventlog.Revision, error)
}

// New makes a Service. It owns nothing that must be closed.
func New(a Appender, d DataPlanes, h History) *Service {
	return &Service{appender: a, planes: d, history: h, pins: pins{now: time.Now}}
}

// Position is where this node's newest state is.
func (s *Service) Position() eventlog.Position { return s.appender.State().Position() }
