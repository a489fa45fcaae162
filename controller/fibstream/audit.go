package fibstream

import (
	"context"
	"fmt"
	"time"

	"dvr/controller/fibpb"
	"dvr/eventlog"
)

// SinkAudit is what comparing a sink with what it should have came to.
type SinkAudit struct {
	Name        string
	Complete    bool   // false: it changed all the time while it was read, or the data plane stopped
	Entries     uint64 // compared
	Differences []Difference
	Failed      uint64 // what is not installed after it
	Took        time.Duration
}

// Difference is what an audit found of one cause, and set right.
type Difference struct {
	Prefix string // the shortest of them
	Cause  string
	Count  uint64
}

// Bounds on what is taken of an audit's report.
const (
	maxAudited     = 16 // sinks
	maxDifferences = 100
)

// Audit has the router's data plane compare what its sinks keep outside of it
// with what they should, and set right what differs. Sinks that keep nothing
// there are not in the answer. Cost: a read of every route at the data plane,
// seconds for a million. Errors: ErrNoDataPlane, ErrBusy, ctx's.
func (s *Server) Audit(ctx context.Context, router eventlog.RouterID) ([]SinkAudit, error) {
	report, err := ask(ctx, s, router, auditsOf, func(id uint64) *fibpb.ControllerMessage {
		return &fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Audit{Audit: &fibpb.AuditRequest{Id: id}}}
	})
	if err != nil {
		return nil, fmt.Errorf("audit %s: %w", router, err)
	}
	out := []SinkAudit{}
	for _, k := range report.GetSinks()[:min(len(report.GetSinks()), maxAudited)] {
		a := SinkAudit{
			Name: cut(k.GetName()), Complete: k.GetComplete(), Entries: k.GetEntries(), Failed: k.GetFailed(),
			Took: time.Duration(min(k.GetTookMs(), uint64(time.Hour/time.Millisecond))) * time.Millisecond,
		}
		for _, d := range k.GetDifferences()[:min(len(k.GetDifferences()), maxDifferences)] {
			a.Differences = append(a.Differences, Difference{Prefix: cut(d.GetPrefix()), Cause: cut(d.GetCause()), Count: d.GetCount()})
		}
		out = append(out, a)
	}
	return out, nil
}
