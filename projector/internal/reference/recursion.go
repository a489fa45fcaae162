package reference

import (
	"net/netip"

	"dvr/eventlog"
)

// waiting is a recursive candidate.
type waiting struct {
	prefix netip.Prefix
	class  ClassID
	route  eventlog.RouteAnnounced
	match  netip.Prefix
	dead   bool
}

// resolve returns options with what the waiting candidates resolve to added to
// what is fixed.
func resolve(fixed map[netip.Prefix][]option, candidates []*waiting, sets map[netip.Prefix]set) map[netip.Prefix][]option {
	for changed := true; changed; {
		changed = false
		usable := map[netip.Prefix]bool{}
		for p, o := range fixed {
			if len(o) > 0 {
				usable[p] = true
			}
		}
		for _, w := range candidates {
			if !w.dead {
				usable[w.prefix] = true
			}
		}
		edges := map[ClassID]map[ClassID]bool{}
		var out []*waiting
		for _, w := range candidates {
			if w.dead {
				continue
			}
			match, ok := Longest(usable, w.route.NextHop, w.route.ViaDefault)
			if !ok {
				out = append(out, w)
				continue
			}
			w.match = match
			if edges[w.class] == nil {
				edges[w.class] = map[ClassID]bool{}
			}
			edges[w.class][sets[match].class] = true
		}
		for _, w := range candidates {
			if !w.dead && w.match.IsValid() && reaches(edges, sets[w.match].class, w.class, map[ClassID]bool{}) {
				out = append(out, w)
			}
		}
		for _, w := range out {
			changed = true
			w.dead = true
		}
		for _, w := range candidates {
			if changed {
				w.match = netip.Prefix{}
			}
		}
	}

	// What is left has no cycle, so this ends.
	table := map[netip.Prefix][]option{}
	var fill func(p netip.Prefix) []option
	fill = func(p netip.Prefix) []option {
		if o, ok := table[p]; ok {
			return o
		}
		options := append([]option(nil), fixed[p]...)
		for _, w := range candidates {
			if w.dead || w.prefix != p {
				continue
			}
			via, _ := best(fill(w.match))
			o := option{preference: w.route.Preference, metric: uint64(w.route.Metric) + via.metric, origins: []eventlog.RouterID{w.route.Router}}
			for _, h := range via.hops {
				h.Weight = uint16(min(int(h.Weight)*int(w.route.Weight), 65535))
				if h.Type == eventlog.Unicast && h.Via == "" && !h.Address.IsValid() {
					h.Address = w.route.NextHop // it is on the network behind the interface
				}
				o.hops = append(o.hops, h)
			}
			options = append(options, o)
		}
		table[p] = options
		return options
	}
	for p := range fixed {
		fill(p)
	}
	for _, w := range candidates {
		if !w.dead {
			fill(w.prefix)
		}
	}
	return table
}

// reaches reports a path of any length, none included.
func reaches(edges map[ClassID]map[ClassID]bool, from, to ClassID, seen map[ClassID]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for next := range edges[from] {
		if reaches(edges, next, to, seen) {
			return true
		}
	}
	return false
}
