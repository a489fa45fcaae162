package fibstream

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"dvr/controller/fibpb"
	"dvr/eventlog"
)

// Down is an interface or, with an address, a next hop that a data plane sees down.
type Down struct {
	Interface string
	NextHop   netip.Addr // zero: the interface itself
	Since     time.Time
}

// Repair is something that others changed in a sink and the data plane set right.
type Repair struct {
	Time   time.Time // when the data plane did it
	Prefix string    // one of them; empty: none by itself
	Cause  string
	Count  uint64 // prefixes
}

// Undone is an unconfirmed commit that a data plane undid by itself at its
// deadline, since it heard no controller. It forwarded without it from then on until
// it was given a table again.
type Undone struct {
	Time     time.Time // when the data plane did it
	Revision eventlog.Revision
}

// maxUndone is how many are kept of a data plane, the newest.
const maxUndone = 32

// maxRepairs is how many are kept of a data plane, the newest.
const maxRepairs = 32

// maxDown bounds what is kept of a data plane's interfaces, and of what is down.
const maxDown = 1024

// observe takes in what p observes. Of interfaces only those are shown that were up on
// this stream: a machine has some that nobody uses. False: it was told before. The
// caller holds the registry's mutex.
func (p *plane) observe(o *fibpb.Observation) (news bool) {
	d, up := Down{}, false
	switch k := o.GetWhat().(type) {
	case *fibpb.Observation_Link_:
		d.Interface, up = cut(k.Link.GetInterface()), k.Link.GetUp()
		if up && len(p.up) < maxDown {
			if p.up == nil {
				p.up = map[string]bool{}
			}
			p.up[d.Interface] = true
		} else if !up && !p.up[d.Interface] {
			return true
		}
	case *fibpb.Observation_NextHop:
		d.Interface, up = cut(k.NextHop.GetInterface()), k.NextHop.GetUp()
		var ok bool
		if d.NextHop, ok = netip.AddrFromSlice(k.NextHop.GetAddress()); !ok {
			return true
		}
	case *fibpb.Observation_Repair_:
		if n := len(p.repairs); n >= maxRepairs {
			p.repairs = slices.Clone(p.repairs[n-maxRepairs+1:])
		}
		p.repairs = append(p.repairs, Repair{when(o), cut(k.Repair.GetPrefix()), cut(k.Repair.GetCause()), k.Repair.GetCount()})
		return true
	case *fibpb.Observation_Undone_:
		// It is told on every stream until the data plane may think that it was heard.
		u := Undone{when(o), eventlog.Revision(k.Undone.GetRevision())}
		if slices.Contains(p.undone, u) {
			return false
		}
		if n := len(p.undone); n >= maxUndone {
			p.undone = slices.Clone(p.undone[n-maxUndone+1:])
		}
		p.undone = append(p.undone, u)
		return true
	default:
		return true
	}
	if up {
		delete(p.down, d)
	} else if len(p.down) < maxDown {
		if p.down == nil {
			p.down = map[Down]time.Time{}
		}
		p.down[d] = when(o)
	}
	return true
}

func when(o *fibpb.Observation) time.Time {
	return time.UnixMilli(int64(min(o.GetTimeMs(), 1<<52)))
}

func (p *plane) listDown() []Down {
	list := make([]Down, 0, len(p.down))
	for d, since := range maps.All(p.down) {
		d.Since = since
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Down) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.NextHop.Compare(b.NextHop))
	})
	return list
}
