package peer

import (
	"context"
	"fmt"
	"net/netip"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"dvr/controller/peerpb"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/projector"
)

// DataPlanes lists those of this node.
func (s server) DataPlanes(context.Context, *peerpb.DataPlanesRequest) (*peerpb.DataPlanesReply, error) {
	return &peerpb.DataPlanesReply{Dataplanes: s.x.listHere()}, nil
}

// WaitInstalled waits for those connected to this node, as long as the caller does.
func (s server) WaitInstalled(ctx context.Context, q *peerpb.InstalledRequest) (*peerpb.Installation, error) {
	h := s.x.here.Load()
	if h == nil {
		return nil, errNoPlanes
	}
	if len(q.GetPrefixes()) > maxNames || len(q.GetRequire()) > maxNames {
		return nil, status.Error(codes.InvalidArgument, "too many prefixes or routers")
	}
	var prefixes []netip.Prefix
	for _, text := range q.GetPrefixes() {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "prefix %q", text)
		}
		prefixes = append(prefixes, p)
	}
	// What is past the caller's patience is answered a little before, so that it
	// hears what is pending.
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-answerTime))
		defer cancel()
	}
	s.x.claim(ctx, eventlog.Revision(q.GetFirst()), eventlog.Revision(q.GetLast()))
	got := h.planes.WaitHere(ctx, eventlog.Revision(q.GetFirst()), eventlog.Revision(q.GetLast()), prefixes, routers(q.GetRequire()))
	out := &peerpb.Installation{Installed: names(got.Installed), Disconnected: names(got.Disconnected), Pending: names(got.Pending)}
	for _, f := range got.Failed {
		out.Failed = append(out.Failed, &peerpb.Failure{Router: string(f.Router), Sink: f.Sink, Prefix: f.Prefix, Reason: f.Reason})
	}
	return out, nil
}

// traceparent is the metadata by which the question joins its caller's trace.
const traceparent = "traceparent"

// claim notes whose trace the commits are of that another node asks about.
func (x *Exchange) claim(ctx context.Context, first, last eventlog.Revision) {
	if !x.options.Trace.On() {
		return
	}
	if parents := metadata.ValueFromIncomingContext(ctx, traceparent); len(parents) == 1 {
		x.options.Trace.Joined(parents[0]).Commits(x.forwarder.State().Position().Epoch, first, last)
	}
}

// Lookup asks a data plane connected to this node.
func (s server) Lookup(ctx context.Context, q *peerpb.LookupRequest) (*peerpb.LookupReply, error) {
	h := s.x.here.Load()
	if h == nil {
		return nil, errNoPlanes
	}
	address, ok := netip.AddrFromSlice(q.GetAddress())
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "address")
	}
	got, err := h.planes.Lookup(ctx, eventlog.RouterID(q.GetRouter()), address)
	out := &peerpb.LookupReply{Position: wirePosition(got.Position)}
	if err != nil {
		out.Error = service.AppendError(nil, err)
		return out, nil
	}
	out.Prefix, out.ClassId = got.Prefix.String(), got.Class[:]
	for _, n := range got.NextHops {
		w := &peerpb.NextHop{Type: uint32(n.Type), Interface: n.Interface, Weight: uint32(n.Weight), Via: string(n.Via)}
		if n.Address.IsValid() {
			w.Address = n.Address.AsSlice()
		}
		out.NextHops = append(out.NextHops, w)
	}
	return out, nil
}

func nextHop(h *peerpb.NextHop) (projector.NextHop, error) {
	n := projector.NextHop{
		Type: eventlog.RouteType(h.GetType()), Interface: h.GetInterface(),
		Weight: uint16(min(h.GetWeight(), 1<<16-1)), Via: eventlog.RouterID(h.GetVia()),
	}
	if len(h.GetAddress()) > 0 {
		var ok bool
		if n.Address, ok = netip.AddrFromSlice(h.GetAddress()); !ok {
			return n, fmt.Errorf("look up: the other node's answer has a malformed next hop")
		}
	}
	return n, nil
}
