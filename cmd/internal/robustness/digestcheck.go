package robustness

import (
	"encoding/hex"
	"sync"
)

// Sighting is what a node said of its state.
type Sighting struct {
	Node     string
	Revision uint64
	Hash     string
	Digest   string
}

// Sightings gathers what nodes said. It is safe for concurrent use.
type Sightings struct {
	mu   sync.Mutex
	list map[Sighting]int
}

// Add notes one.
func (s *Sightings) Add(x Sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[Sighting]int{}
	}
	s.list[x]++
}

// CheckDigests holds every sighting against the replayed log. It returns how
// many there are, and at how many revisions more than one node was seen.
func CheckDigests(s *Sightings, log []Entry, v *Violations) (sightings, compared int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := map[uint64]map[string]bool{}
	for x := range s.list {
		if nodes[x.Revision] == nil {
			nodes[x.Revision] = map[string]bool{}
		}
		nodes[x.Revision][x.Node] = true
		if x.Revision == 0 || x.Revision > uint64(len(log)) {
			v.Addf("digest", "%s was at revision %d; the log ends at %d", x.Node, x.Revision, len(log))
			continue
		}
		e := &log[x.Revision-1]
		if x.Hash != hex.EncodeToString(e.Hash[:]) {
			v.Addf("digest", "%s at revision %d has another history: hash %s, the log's is %x", x.Node, x.Revision, x.Hash, e.Hash)
		}
		if x.Digest != e.Digest.String() {
			v.Addf("digest", "%s at revision %d has digest %s, a replay of the log %s", x.Node, x.Revision, x.Digest, e.Digest)
		}
	}
	for _, n := range nodes {
		if len(n) > 1 {
			compared++
		}
	}
	return len(s.list), compared
}
