package fibstream

import (
	"context"
	"fmt"
	"net/netip"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// Answer is what a data plane does with an address.
type Answer struct {
	Prefix   netip.Prefix
	Class    projector.ClassID
	NextHops []projector.NextHop
	Position eventlog.Position // of the FIB that answered
}

// Lookup asks router's data plane itself, over its stream. Errors:
// ErrNoDataPlane, ErrNotFound, ErrBusy, ctx's.
func (s *Server) Lookup(ctx context.Context, router eventlog.RouterID, a netip.Addr) (Answer, error) {
	fail := func(err error) (Answer, error) {
		return Answer{}, fmt.Errorf("look up %s at %s: %w", a, router, err)
	}
	if !a.IsValid() {
		return fail(&eventlog.FieldError{Field: "address", Reason: "is not an address"})
	}
	m, err := ask(ctx, s, router, lookupsOf, func(id uint64) *fibpb.ControllerMessage {
		return &fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Lookup{
			Lookup: &fibpb.LookupRequest{Id: id, Address: a.Unmap().AsSlice()},
		}}
	})
	switch {
	case err != nil:
		return fail(err)
	case !m.GetFound():
		return fail(ErrNotFound)
	}
	return decodeAnswer(m)
}

func decodeAnswer(m *fibpb.LookupAnswer) (Answer, error) {
	a := Answer{Position: eventlog.Position{
		LogID: m.GetPosition().GetLogId(), Epoch: m.GetPosition().GetEpoch(),
		Revision: eventlog.Revision(m.GetPosition().GetRevision()),
	}}
	address, ok := netip.AddrFromSlice(m.GetPrefix())
	if !ok || m.GetLength() > uint32(address.BitLen()) || len(m.GetClassId()) != len(a.Class) {
		return Answer{}, fmt.Errorf("look up: the data plane's answer is malformed")
	}
	a.Prefix = netip.PrefixFrom(address, int(m.GetLength()))
	copy(a.Class[:], m.GetClassId())
	for _, h := range m.GetNextHops() {
		n := projector.NextHop{
			Type: eventlog.RouteType(h.GetType()), Interface: h.GetInterface(),
			Weight: uint16(min(h.GetWeight(), 1<<16-1)), Via: eventlog.RouterID(h.GetVia()),
		}
		if len(h.GetAddress()) != 0 {
			if n.Address, ok = netip.AddrFromSlice(h.GetAddress()); !ok {
				return Answer{}, fmt.Errorf("look up: the data plane's answer has a malformed next hop")
			}
		}
		a.NextHops = append(a.NextHops, n)
	}
	return a, nil
}
