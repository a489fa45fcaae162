package eventlog

import (
	"net/netip"
	"slices"
)

// rare reads the members of every kind but route.announced.
func (d *Decoder) rare(kind Kind, f *frame) Event {
	s := &d.s
	switch kind {
	case KindRouteWithdrawn:
		e := &RouteWithdrawn{RouteID{Router: AllRouters, Origin: DefaultOrigin}}
		d.each(f, func(key []byte) bool { return d.routeID(f, key, &e.RouteID, true) })
		s.require(f, mDestination, "destination")
		return e
	case KindRouterSet:
		return d.routerSet(f)
	case KindRouterRemoved:
		e := new(RouterRemoved)
		e.Router = RouterID(d.only(f, "router"))
		return e
	case KindLinkSet:
		return d.linkSet(f)
	case KindLinkRemoved:
		e := new(LinkRemoved)
		d.each(f, func(key []byte) bool { return d.linkID(f, key, &e.LinkID) })
		d.requireLink(f)
		return e
	case KindLinkObserved:
		return d.linkObserved(f)
	case KindNextHopObserved:
		return d.nextHopObserved(f)
	case KindKeyPut:
		e := new(KeyPut)
		d.pair(f, "key", &e.Key, "value", &e.Value)
		return e
	case KindKeyDeleted:
		return &KeyDeleted{Key: d.only(f, "key")}
	case KindGuardSet:
		return d.guardSet(f)
	case KindGuardRemoved:
		return &GuardRemoved{Name: d.only(f, "name")}
	case KindFreezeSet:
		return d.freezeSet(f)
	case KindFreezeRemoved:
		return &FreezeRemoved{Name: d.only(f, "name")}
	case KindRoleSet:
		return d.roleSet(f)
	case KindRoleRemoved:
		return &RoleRemoved{Actor: d.only(f, "actor")}
	case KindTokenSet:
		return d.tokenSet(f)
	case KindTokenRemoved:
		return &TokenRemoved{ID: d.only(f, "id")}
	case KindAuthEnabled:
		d.nothing(f)
		return new(AuthEnabled)
	case KindAuthDisabled:
		d.nothing(f)
		return new(AuthDisabled)
	case KindTimerSet:
		return d.timerSet(f)
	case KindTimerFired:
		return &TimerFired{Name: d.only(f, "name")}
	case KindTimerCancelled:
		return &TimerCancelled{Name: d.only(f, "name")}
	case KindTimerFailed:
		e := new(TimerFailed)
		d.pair(f, "name", &e.Name, "cause", &e.Cause)
		return e
	case KindConfirmationOpened:
		e := new(ConfirmationOpened)
		d.one(f, "deadline", func() { e.Deadline = s.time("deadline") })
		return e
	case KindConfirmationConfirmed:
		return &ConfirmationConfirmed{Revision: d.revision(f)}
	case KindConfirmationUndone:
		return &ConfirmationUndone{Revision: d.revision(f)}
	case KindCommitStaged:
		e := new(CommitStaged)
		d.staged(f, e)
		return e
	case KindEpochStarted:
		return d.epochStarted(f)
	case KindLevelRaised:
		e := new(LevelRaised)
		d.one(f, "level", func() { e.Level = uint32(s.uint("level", 1<<32-1)) })
		return e
	case KindClockStepped:
		e := new(ClockStepped)
		d.each(f, func(key []byte) bool {
			switch string(key) {
			case "from":
				s.once(f, 0, "from")
				e.From = s.time("from")
			case "to":
				s.once(f, 1, "to")
				e.To = s.time("to")
			default:
				return false
			}
			return true
		})
		s.require(f, 0, "from")
		s.require(f, 1, "to")
		return e
	}
	s.fail("kind", "is not a known kind of event")
	s.unknown = true
	return nil
}

// each reads an object's members; read says whether it knows one.
func (d *Decoder) each(f *frame, read func(key []byte) bool) {
	for {
		key, ok := d.s.member(f)
		if !ok {
			return
		}
		if !read(key) {
			d.s.other(f, key)
		}
	}
}

// one reads an object whose single member is needed.
func (d *Decoder) one(f *frame, field string, read func()) {
	d.each(f, func(key []byte) bool {
		if string(key) != field {
			return false
		}
		d.s.once(f, 0, field)
		read()
		return true
	})
	d.s.require(f, 0, field)
}

func (d *Decoder) only(f *frame, field string) (v string) {
	d.one(f, field, func() { v = d.name(field) })
	return v
}

func (d *Decoder) revision(f *frame) (v Revision) {
	d.one(f, "revision", func() { v = Revision(d.s.uint("revision", 1<<64-1)) })
	return v
}

// pair reads two texts that are both needed.
func (d *Decoder) pair(f *frame, first string, a *string, second string, b *string) {
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case first:
			d.s.once(f, 0, first)
			*a = d.name(first)
		case second:
			d.s.once(f, 1, second)
			*b = string(d.s.text(second))
		default:
			return false
		}
		return true
	})
	d.s.require(f, 0, first)
	d.s.require(f, 1, second)
}

func (d *Decoder) routerSet(f *frame) Event {
	s, e := &d.s, new(RouterSet)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "router":
			s.once(f, 0, "router")
			e.Router = d.router("router")
		case "description":
			s.once(f, 1, "description")
			e.Description = string(s.text("description"))
		case "tags":
			s.once(f, 2, "tags")
			e.Tags = d.tags()
		case "drained":
			s.once(f, 3, "drained")
			e.Drained = Drain(d.name("drained"))
		case "probes":
			s.once(f, 4, "probes")
			e.Probes = d.probes()
		default:
			return false
		}
		return true
	})
	s.require(f, 0, "router")
	return e
}

// probes reads a list of probes, which Validate wants sorted and distinct.
func (d *Decoder) probes() []Probe {
	list := listOf(&d.s, "probes", MaxProbes, d.probe)
	if d.AnyTags {
		slices.SortStableFunc(list, CompareProbes)
	}
	return list
}

func (d *Decoder) probe(string) (p Probe) {
	s := &d.s
	var f frame
	if !s.open("") {
		return p
	}
	d.each(&f, func(key []byte) bool {
		switch string(key) {
		case "next_hop":
			s.once(&f, 0, "next_hop")
			p.NextHop = d.addr("next_hop")
			if r := nextHopReason(p.NextHop); r != "" && s.err == nil {
				s.fail("next_hop", r) // here: sorting changes the places
			}
		case "interface":
			s.once(&f, 1, "interface")
			p.Interface = d.name("interface")
			if r := optionalInterfaceReason(p.Interface); r != "" && s.err == nil {
				s.fail("interface", r)
			}
		case "interval_ms":
			s.once(&f, 2, "interval_ms")
			p.Interval = uint32(s.whole("interval_ms", MinProbeInterval, MaxProbeInterval))
		default:
			return false
		}
		return true
	})
	s.require(&f, 2, "interval_ms")
	return p
}

// linkID reads one member of a link's identity (bits 0 to 2); false: key is none.
func (d *Decoder) linkID(f *frame, key []byte, l *LinkID) bool {
	s := &d.s
	switch string(key) {
	case "a":
		s.once(f, 0, "a")
		l.A = RouterID(d.name("a"))
	case "b":
		s.once(f, 1, "b")
		l.B = RouterID(d.name("b"))
	case "name":
		s.once(f, 2, "name")
		l.Name = d.name("name")
	default:
		return false
	}
	return true
}

func (d *Decoder) requireLink(f *frame) {
	d.s.require(f, 0, "a")
	d.s.require(f, 1, "b")
}

func (d *Decoder) linkSet(f *frame) Event {
	s, e := &d.s, &LinkSet{CostAB: 1, CostBA: 1}
	addrs := func(field string) []netip.Addr { return listOf(s, field, 2, d.addr) }
	d.each(f, func(key []byte) bool {
		if d.linkID(f, key, &e.LinkID) {
			return true
		}
		switch string(key) {
		case "cost_ab":
			s.once(f, 3, "cost_ab")
			e.CostAB = uint32(s.whole("cost_ab", 1, MaxLinkCost))
		case "cost_ba":
			s.once(f, 4, "cost_ba")
			e.CostBA = uint32(s.whole("cost_ba", 1, MaxLinkCost))
		case "address_a":
			s.once(f, 5, "address_a")
			e.AddressA = addrs("address_a")
		case "address_b":
			s.once(f, 6, "address_b")
			e.AddressB = addrs("address_b")
		case "interface_a":
			s.once(f, 7, "interface_a")
			e.InterfaceA = d.name("interface_a")
		case "interface_b":
			s.once(f, 8, "interface_b")
			e.InterfaceB = d.name("interface_b")
		case "down":
			s.once(f, 9, "down")
			e.Down = s.bool("down")
		case "tags":
			s.once(f, 10, "tags")
			e.Tags = d.tags()
		default:
			return false
		}
		return true
	})
	d.requireLink(f)
	return e
}

func (d *Decoder) linkObserved(f *frame) Event {
	s, e := &d.s, new(LinkObserved)
	d.each(f, func(key []byte) bool {
		if d.linkID(f, key, &e.LinkID) {
			return true
		}
		switch string(key) {
		case "router":
			s.once(f, 3, "router")
			e.Router = d.router("router")
		case "state":
			s.once(f, 4, "state")
			e.State = ObservedState(d.name("state"))
		default:
			return false
		}
		return true
	})
	d.requireLink(f)
	s.require(f, 3, "router")
	s.require(f, 4, "state")
	return e
}

func (d *Decoder) nextHopObserved(f *frame) Event {
	s, e := &d.s, new(NextHopObserved)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "vrf":
			s.once(f, 0, "vrf")
			e.VRF = d.name("vrf")
		case "router":
			s.once(f, 1, "router")
			e.Router = d.router("router")
		case "next_hop":
			s.once(f, 2, "next_hop")
			e.NextHop = d.addr("next_hop")
		case "interface":
			s.once(f, 3, "interface")
			e.Interface = d.name("interface")
		case "state":
			s.once(f, 4, "state")
			e.State = ObservedState(d.name("state"))
		default:
			return false
		}
		return true
	})
	s.require(f, 1, "router")
	s.require(f, 2, "next_hop")
	s.require(f, 4, "state")
	return e
}
