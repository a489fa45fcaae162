package service

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dvr/eventlog"
)

// supported refuses what the format has and this version does not serve yet.
// Silence would be a lie: the route would be stored and never forwarded.
func supported(e eventlog.Event) error {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		if e.VRF != "" {
			return &UnsupportedError{"vrf"}
		}
		if e.Expires != 0 {
			return &UnsupportedError{"expires"}
		}
		if e.Type == eventlog.Unicast {
			if kind := noGateway(e.NextHop); kind != "" {
				return invalid("next_hop", "must not be %s: no packet is sent to one", kind)
			}
			return forwardable(e.Destination)
		}
	case *eventlog.RouteWithdrawn:
		if e.VRF != "" {
			return &UnsupportedError{"vrf"}
		}
	case *eventlog.KeyPut:
		if e.Value == "" {
			return invalid("value", "must not be empty")
		}
	case *eventlog.LinkSet:
		for _, d := range []struct {
			address, iface string
			to             []netip.Addr
			over           string
		}{{"address_b", "interface_a", e.AddressB, e.InterfaceA}, {"address_a", "interface_b", e.AddressA, e.InterfaceB}} {
			if d.over == "" && slices.ContainsFunc(d.to, netip.Addr.IsLinkLocalUnicast) {
				return invalid(d.iface, "is missing: %s is link-local, and is reached only over a named interface", d.address)
			}
		}
		for field, list := range map[string][]netip.Addr{"address_a": e.AddressA, "address_b": e.AddressB} {
			for _, a := range list {
				if kind := noGateway(a); kind != "" {
					return invalid(field, "holds %s: no packet is sent to one", kind)
				}
			}
		}
	case *eventlog.RouterSet, *eventlog.RouterRemoved, *eventlog.LinkRemoved, *eventlog.KeyDeleted:
	case *eventlog.LinkObserved:
	case *eventlog.GuardSet, *eventlog.GuardRemoved, *eventlog.FreezeSet, *eventlog.FreezeRemoved, *eventlog.TimerCancelled:
	case *eventlog.RoleSet, *eventlog.RoleRemoved, *eventlog.TokenSet, *eventlog.TokenRemoved, *eventlog.AuthEnabled, *eventlog.AuthDisabled:
	default:
		return &UnsupportedError{"kind"}
	}
	return nil
}

// noGateway says what a is where it can never be that of a neighbour, though a
// log may hold it; "" else, and for what the format itself refuses. Addresses
// for documentation and for discarding are used as next hops that resolve.
func noGateway(a netip.Addr) string {
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsLoopback():
	case a.Is4():
		switch first := a.As4()[0]; {
		case first == 0:
			return "an address of this network (0.0.0.0/8)"
		case first >= 240 && a != netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return "a reserved address (240.0.0.0/4)"
		}
	case ipv4Compatible.Contains(a):
		return "an IPv4-compatible address (::/96)"
	}
	return ""
}

var ipv4Compatible = netip.MustParsePrefix("::/96")

// forwardable refuses destinations to which unicast packets are not forwarded.
// A log may hold them, so it is no rule of the format; to discard such packets
// by a blackhole is sound, and so is a destination that has others beside them,
// as a default route or the half of one.
func forwardable(d netip.Prefix) error {
	a := d.Addr()
	kind := ""
	if a.Is4() {
		first, bits := a.As4()[0], d.Bits()
		switch {
		case first == 0 && bits >= 8:
			kind = "addresses of this network (0.0.0.0/8)"
		case first < 127:
		case first == 127 && bits >= 8:
			kind = "loopback addresses"
		case first >= 240 && bits >= 4:
			kind = "reserved addresses"
		case first >= 224 && bits >= 3: // 224.0.0.0/3 is multicast and reserved
			kind = "multicast addresses"
		}
	} else if b := a.As16(); b[0] == 0xff && d.Bits() >= 8 {
		kind = "multicast addresses"
	} else if a.IsLinkLocalUnicast() && d.Bits() >= 10 {
		kind = "link-local addresses"
	} else if d.Bits() == 128 && a.IsLoopback() {
		kind = "the loopback address"
	}
	if kind == "" {
		return nil
	}
	return invalid("destination", "must not be of %s: unicast packets are not forwarded to them; a blackhole discards them", kind)
}

// check is what every event from outside must pass: served, and well formed.
func check(e eventlog.Event) error {
	if err := supported(e); err != nil {
		return err
	}
	return e.Validate()
}

// checkAll refuses what is not served in any of a commit's events; form and
// repeated identities are judged by the appender.
func checkAll(events []eventlog.Event) error {
	for i, e := range events {
		if err := supported(e); err != nil {
			return prefixField(err, fmt.Sprintf("events[%d].", i))
		}
	}
	return nil
}

// alone takes the index out of the field of an error about a commit's only event.
func alone(err error) error {
	var f *eventlog.FieldError
	if errors.As(err, &f) {
		if rest, ok := strings.CutPrefix(f.Field, "events[0]."); ok {
			return &eventlog.FieldError{Field: rest, Reason: f.Reason}
		}
	}
	return err
}
