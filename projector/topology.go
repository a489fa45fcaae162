package projector

import (
	"net/netip"
	"slices"
	"strings"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
	"dvr/projector/internal/spf"
)

// topology is the routers that have or had usable links or are drained, and
// what connects them. Immutable.
type topology struct {
	line  *line
	names names
	ids   []eventlog.RouterID // by number
	graph spf.Graph
	ends  [][]end // of the arcs, in the same places
	idle  int     // routers without an arc and not drained
	blind int     // arcs over which nothing can be sent
	at    *stamp
	steps []step // what led here, newest first
}

// end is what the router at one end of a link sends over.
type end struct {
	link  pmap.String // the item's key
	iface string      // local
	addrs [2]netip.Addr
}

// address of the neighbour, of the preferred family where there is one.
func (e *end) address(v6 bool) netip.Addr {
	a, b := e.addrs[0], e.addrs[1]
	if v6 {
		a, b = b, a
	}
	if a.IsValid() {
		return a
	}
	return b
}

// blind: the neighbour has no address and the router no interface that it could
// be sent over.
func (e *end) blind() bool { return e.iface == "" && !e.addrs[0].IsValid() && !e.addrs[1].IsValid() }

const unreachable = spf.Unreachable

// stamp tells topologies apart without holding them.
type stamp struct{ _ byte }

// step leads from an earlier topology of the line to the next.
type step struct {
	from  *stamp
	heads []int32 // see spf.Tree.Update
}

// What a topology remembers of the steps that led to it.
const (
	maxSteps = 64
	maxHeads = 4096
)

// since is what changed since an earlier topology; false: it is not known to
// be one.
func (t *topology) since(at *stamp) (heads []int32, ok bool) {
	if at == t.at {
		return nil, true
	}
	for i, s := range t.steps {
		if s.from != at {
			continue
		}
		if i == 0 {
			return s.heads, true
		}
		for _, s := range t.steps[:i+1] {
			heads = append(heads, s.heads...)
		}
		slices.Sort(heads)
		return slices.Compact(heads), true
	}
	return nil, false
}

// find is the number of a router; −1: it has no usable link and is not drained.
func (t *topology) find(id eventlog.RouterID) int {
	if i, ok := t.names.find(id); ok {
		return int(i)
	}
	return -1
}

// names numbers routers. Adding one copies the few names that came last; they
// join the others when they are many.
type names struct {
	most map[eventlog.RouterID]int32 // shared, not written any more
	last map[eventlog.RouterID]int32 // of this topology's own
}

const maxLastNames = 256

func (n *names) find(id eventlog.RouterID) (int32, bool) {
	if i, ok := n.most[id]; ok {
		return i, true
	}
	i, ok := n.last[id]
	return i, ok
}

func seenDown(items pmap.View[pmap.String, *item], l *eventlog.LinkID) bool {
	for _, it := range itemsOf(items, linkKey(itemLinkSeen, l, "")) {
		if it.event.(*eventlog.LinkObserved).State == eventlog.ObservedDown {
			return true
		}
	}
	return false
}

func byFamily(list []netip.Addr) (out [2]netip.Addr) {
	for _, a := range list {
		if a.Is4() {
			out[0] = a
		} else {
			out[1] = a
		}
	}
	return out
}

// linkOfSeen is the key of the link that an observation is about.
func linkOfSeen(k pmap.String) pmap.String {
	return pmap.String(rune(itemLink)) + k[1:strings.LastIndexByte(string(k), 0)]
}

// endsOf are the routers of a link by its key.
func endsOf(k pmap.String) (a, b eventlog.RouterID) {
	first, rest, _ := strings.Cut(string(k[1:]), "\x00")
	second, _, _ := strings.Cut(rest, "\x00")
	return eventlog.RouterID(first), eventlog.RouterID(second)
}
