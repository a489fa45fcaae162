package service

import (
	"context"
	"time"

	"dvr/controller/fibstream"
	"dvr/eventlog"
)

// DataPlane is what the controller knows of a router's data plane.
type DataPlane struct {
	Router     eventlog.RouterID
	Instance   string
	Node       string // the controller that it is connected to
	Version    string
	Sinks      []string
	SinkStates []fibstream.Sink // as told last, sorted by name
	Connected  bool
	Position   eventlog.Position // acknowledged
	Lag        uint64            // revisions behind this node's state
	// DigestEqual says that what it holds equals the controller's FIB at Position.
	DigestEqual bool
	Deviates    bool // took a dead next hop out by itself
	Failed      uint64
	Since       time.Time // connected, or lost, since
	Counters    map[string]uint64
	Down        []fibstream.Down   // interfaces and next hops that it sees down
	Repairs     []fibstream.Repair // the last, the newest last
	Undone      []fibstream.Undone // the last, the newest last
}

// DataPlanes lists the data planes of this node, sorted by router.
func (s *Service) DataPlanes() []DataPlane { return s.planes.List() }

// AllDataPlanes lists those of every node, sorted by router. Cost: a call to each
// other node, all at once; one that does not answer within a second is shown as
// it was known.
func (s *Service) AllDataPlanes(ctx context.Context) []DataPlane { return s.planes.Survey(ctx) }

// Audit has a router's data plane compare what its sinks keep outside of it, the
// kernel's routes above all, with what they should, and set right what differs.
// timeout: 0 is DefaultTimeout. Cost: seconds for a million routes, at the data
// plane. Errors: ErrUnknownRouter, ErrNoDataPlane, ErrUnavailable.
func (s *Service) Audit(ctx context.Context, router eventlog.RouterID, timeout time.Duration) ([]fibstream.SinkAudit, error) {
	if err := s.checkRouter(s.appender.State(), router); err != nil {
		return nil, err
	}
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.planes.Audit(ctx, router)
}
