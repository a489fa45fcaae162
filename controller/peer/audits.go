package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dvr/controller/fibstream"
	"dvr/controller/peerpb"
	"dvr/controller/service"
	"dvr/eventlog"
)

// Audit implements service.DataPlanes: the node that the data plane is connected
// to asks it.
func (p *planes) Audit(ctx context.Context, router eventlog.RouterID) ([]fibstream.SinkAudit, error) {
	out, err := p.LocalPlanes.Audit(ctx, router)
	if !errors.Is(err, service.ErrNoDataPlane) {
		return out, err
	}
	c, node, ok := p.x.Claim(router)
	r := p.x.mesh.remote(node)
	if !ok || !c.Connected || r == nil {
		return out, err
	}
	reply, callErr := r.client.Audit(ctx, &peerpb.AuditRequest{Router: string(router)})
	if callErr != nil {
		return nil, fmt.Errorf("%w: node %s, to which the data plane is connected, does not answer: %w", service.ErrUnavailable, p.x.place(node), callErr)
	}
	if len(reply.GetError()) > 0 {
		return nil, service.ReadError(reply.GetError())
	}
	return auditsOf(reply.GetSinks()), nil
}

// Audit asks a data plane connected to this node.
func (s server) Audit(ctx context.Context, q *peerpb.AuditRequest) (*peerpb.AuditReply, error) {
	h := s.x.here.Load()
	if h == nil {
		return nil, errNoPlanes
	}
	got, err := h.planes.Audit(ctx, eventlog.RouterID(q.GetRouter()))
	if err != nil {
		return &peerpb.AuditReply{Error: service.AppendError(nil, err)}, nil
	}
	return &peerpb.AuditReply{Sinks: wireAudits(got)}, nil
}

func wireAudits(audits []fibstream.SinkAudit) []*peerpb.SinkAudit {
	out := make([]*peerpb.SinkAudit, len(audits))
	for i, a := range audits {
		out[i] = &peerpb.SinkAudit{Name: a.Name, Complete: a.Complete, Entries: a.Entries, Failed: a.Failed, TookMs: a.Took.Milliseconds()}
		for _, d := range a.Differences {
			out[i].Differences = append(out[i].Differences, &peerpb.Difference{Prefix: d.Prefix, Cause: d.Cause, Count: d.Count})
		}
	}
	return out
}

func auditsOf(audits []*peerpb.SinkAudit) []fibstream.SinkAudit {
	out := make([]fibstream.SinkAudit, len(audits))
	for i, a := range audits {
		out[i] = fibstream.SinkAudit{Name: a.GetName(), Complete: a.GetComplete(), Entries: a.GetEntries(), Failed: a.GetFailed(), Took: time.Duration(a.GetTookMs()) * time.Millisecond}
		for _, d := range a.GetDifferences() {
			out[i].Differences = append(out[i].Differences, fibstream.Difference{Prefix: d.GetPrefix(), Cause: d.GetCause(), Count: d.GetCount()})
		}
	}
	return out
}
