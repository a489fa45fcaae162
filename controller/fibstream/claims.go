package fibstream

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/eventlog"
)

// Claim says which instance serves a router at a controller, or did last.
type Claim struct {
	Router   eventlog.RouterID
	Instance string
	// Stamp orders the claims of a router over all controllers that hear of each
	// other: a later one has a higher stamp.
	Stamp     uint64
	Connected bool
	Gone      time.Duration // since it left; 0 while connected
	Takeover  bool          // it took the router from another instance
}

// Elsewhere is what the other controllers claim. Its methods must not block.
type Elsewhere interface {
	// Claim is the latest claim of the router at another controller, and where.
	Claim(router eventlog.RouterID) (c Claim, node string, ok bool)
	// Changed is told that this controller's claims are other ones now.
	Changed()
}

// nowhere is Elsewhere of a lone controller.
type nowhere struct{}

func (nowhere) Claim(eventlog.RouterID) (Claim, string, bool) { return Claim{}, "", false }
func (nowhere) Changed()                                      {}

// Prevails decides between two connected claims of one router: of one instance
// the later stream lives; of two instances the one that took over, else the
// one that was there first. node breaks ties alike at both.
func (c Claim) Prevails(node string, other Claim, otherNode string) bool {
	if c.Stamp == other.Stamp {
		return node < otherNode
	}
	later, latest := c.Stamp > other.Stamp, c
	if !later {
		latest = other
	}
	if c.Instance == other.Instance || latest.Takeover {
		return later
	}
	return !later
}

// Claims lists this controller's claims: who is connected, and who was within
// the time that matters to another instance.
func (s *Server) Claims() []Claim {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Now()
	var list []Claim
	for _, p := range r.planes {
		if c := p.claim(now); c.Connected || c.Gone <= 2*r.options.GoneFor {
			list = append(list, c)
		}
	}
	return list
}

func (p *plane) claim(now time.Time) Claim {
	c := Claim{Router: p.router, Instance: p.instance, Stamp: p.stamp, Connected: p.session != nil, Takeover: p.takeover}
	if !c.Connected {
		c.Gone = now.Sub(p.seen)
	}
	return c
}

// Yield ends the stream of a router where another controller's claim prevails.
func (s *Server) Yield(other Claim, node string) {
	r := s.registry
	r.mu.Lock()
	var x *session
	if p := r.planes[other.Router]; p != nil && p.session != nil && !p.claim(r.options.Now()).Prevails(r.options.Node, other, node) {
		x = p.session
	}
	r.mu.Unlock()
	if x != nil {
		x.end(status.Errorf(codes.Aborted, "instance %s serves router %s through controller %s now", other.Instance, other.Router, node))
	}
}
