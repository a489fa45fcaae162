package projector

import (
	"fmt"
	"net/netip"
	"strings"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
	"dvr/projector/internal/spf"
)

// Judged is a candidate with the decision about it.
type Judged struct {
	Candidate
	Metric uint64 // at this router; of an unusable candidate the route's own
	Chosen bool
	Why    string // a short sentence, "higher metric (20 > 10)"
}

// Explain judges every candidate of p at router, in canonical order; nil: p is not there.
func (s *State) Explain(router eventlog.RouterID, p netip.Prefix) []Judged {
	if !p.IsValid() {
		return nil
	}
	at := placeOf(p)
	e := s.entry(at)
	if e == nil {
		return nil
	}
	return s.view(router).explain(at, e)
}

// explain judges every candidate of an entry.
func (v *view) explain(at place, e *entry) []Judged {
	j := judge{view: v, class: e.set.class, base: e.set.base}
	if j.class != nil {
		j.best = append(j.best, v.best(j.class)...)
		j.typ = j.lowestType()
	}
	out := make([]Judged, len(e.set.bodies))
	for i, b := range e.set.bodies {
		out[i] = j.candidate(b)
		out[i].Candidate = Candidate{b.at(at), e.revision(i)}
	}
	return out
}

// judge holds candidates against what was chosen.
type judge struct {
	view  *view
	class *class // nil: nothing usable
	base  uint32
	best  []offer
	typ   eventlog.RouteType // of the group
}

// offerType is the type of next hop that an offer puts into the group.
func (j *judge) offerType(o offer) eventlog.RouteType {
	p := &j.class.paths[o.path]
	switch {
	case j.view.remote(p):
		return eventlog.Unicast
	case p.recursive:
		return j.view.resolution(p).paths[pathKey{j.class, o.path}].hops[0].Type
	}
	return p.typ
}

func (j *judge) lowestType() eventlog.RouteType {
	lowest := eventlog.Prohibit
	for _, o := range j.best {
		lowest = min(lowest, j.offerType(o))
	}
	return lowest
}

func (j *judge) candidate(b *body) Judged {
	own := uint64(b.route.Metric)
	switch {
	case b.route.VRF != "":
		return Judged{Metric: own, Why: "in VRF " + b.route.VRF + ", which is not forwarded yet"}
	case b.route.Metric == eventlog.MetricUnusable:
		return Judged{Metric: own, Why: fmt.Sprintf("unusable: metric %d", b.route.Metric)}
	}
	o, ok := j.offer(pathOf(&b.route, j.base))
	if !ok {
		return Judged{Metric: own, Why: j.whyUnusable(&b.route)}
	}
	out := Judged{Metric: o.metric + uint64(j.base)}
	best := j.best[0]
	switch {
	case o.preference > best.preference:
		out.Why = fmt.Sprintf("higher preference (%d > %d)", o.preference, best.preference)
	case o.metric > best.metric:
		out.Why = fmt.Sprintf("higher metric (%d > %d)", out.Metric, best.metric+uint64(j.base))
	case j.offerType(o) > j.typ:
		out.Why = fmt.Sprintf("equally good, but type %s loses to %s", j.offerType(o), j.typ)
	default:
		out.Chosen = true
		out.Why = j.whyChosen(o)
	}
	return out
}

// offer is the best offer of one path at the router.
func (j *judge) offer(p path) (best offer, ok bool) {
	for o := range j.view.all(j.class) {
		if j.class.paths[o.path] == p && (!ok || o.better(best)) {
			best, ok = o, true
		}
	}
	return best, ok
}

// circular: the path was taken out because its resolution goes in a circle.
func (j *judge) circular(p path) bool {
	for i := range j.class.paths {
		if j.class.paths[i] == p {
			return j.view.resolution(&p).circular[pathKey{j.class, i}]
		}
	}
	return false
}

func (j *judge) whyChosen(o offer) string {
	n := 0
	for _, b := range j.best {
		if j.offerType(b) == j.typ {
			n++
		}
	}
	text := "best"
	if n > 1 {
		text = fmt.Sprintf("one of %d equally good", n)
	}
	if j.view.remote(&j.class.paths[o.path]) {
		text += fmt.Sprintf(", from %s at distance %d", o.origin, j.view.distance(o.origin))
	}
	return text
}

func (j *judge) whyUnusable(r *eventlog.RouteAnnounced) string {
	if r.Router != eventlog.AllRouters && j.view.router == eventlog.AllRouters {
		return fmt.Sprintf("router %s's own: ask about router %s", r.Router, r.Router)
	}
	if r.Router != eventlog.AllRouters && j.view.distance(r.Router) == unreachable {
		if x := j.view.topo.find(r.Router); x >= 0 && j.view.topo.graph.Transit[x] == spf.Closed {
			return fmt.Sprintf("router %s is drained", r.Router)
		}
		if link, from, to := j.view.blindTowards(r.Router); link != "" {
			return fmt.Sprintf("router %s cannot be reached: link %s has neither an address of %s nor an interface of %s", r.Router, link, to, from)
		}
		return fmt.Sprintf("router %s cannot be reached", r.Router)
	}
	if j.circular(pathOf(r, j.base)) {
		return fmt.Sprintf("next hop %s resolves through the route itself", r.NextHop)
	}
	return fmt.Sprintf("next hop %s does not resolve", r.NextHop)
}

// gap is the first arc on a way over which nothing can be sent.
type gap struct {
	link     pmap.String
	from, to int32
}

// blindTowards names the link without which no packet gets to a router that
// could be reached over it, and the ends that lack an address and an interface; "":
// that is not why. Cost: a pass over the links, once a view.
func (v *view) blindTowards(to eventlog.RouterID) (link string, from, neighbour eventlog.RouterID) {
	t := v.topo
	x := t.find(to)
	if t.blind == 0 || x < 0 {
		return "", "", ""
	}
	if v.gaps == nil {
		v.gaps = t.gaps(int32(t.find(v.router)))
	}
	g, ok := v.gaps[int32(x)]
	if !ok || g.link == "" {
		return "", "", ""
	}
	return linkText(g.link), t.ids[g.from], t.ids[g.to]
}

// gaps finds for each router that source could reach if every link could be sent
// over, the first on a way of fewest links that cannot.
func (t *topology) gaps(source int32) map[int32]gap {
	out := map[int32]gap{}
	if source < 0 {
		return out
	}
	out[source] = gap{}
	for queue := []int32{source}; len(queue) > 0; queue = queue[1:] {
		v := queue[0]
		if v != source && t.graph.Transit[v] != spf.Open {
			continue
		}
		for i, a := range t.graph.Arcs[v] {
			if _, met := out[a.To]; met || t.graph.Transit[a.To] == spf.Closed {
				continue
			}
			g := out[v]
			if g.link == "" && a.Cost == spf.Blocked {
				g = gap{t.ends[v][i].link, v, a.To}
			}
			out[a.To] = g
			queue = append(queue, a.To)
		}
	}
	return out
}

// linkText names a link, by its key, for a sentence.
func linkText(k pmap.String) string {
	parts := strings.SplitN(string(k[1:]), "\x00", 3)
	if parts[2] != "" {
		return parts[0] + "-" + parts[1] + "/" + parts[2]
	}
	return parts[0] + "-" + parts[1]
}
