package projector

import (
	"io"
	"net/netip"
	"sync"
	"testing"

	"dvr/eventlog"
)

// States are read on other goroutines while the fold goes on, as in a node
// (the race detector is what this test is for); each reader must see the table
// of its revision and no other.
func TestReadersBesideTheWriter(t *testing.T) {
	const commits, perCommit = 200, 20
	type frozen struct {
		state *State
		n     int
	}
	states := make(chan frozen, 4)
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var prev *FIB
			for f := range states {
				s := f.state
				fib := s.FIB("r1", prev)
				fib.Delta(prev)
				fib.Buckets()
				if n4, n6 := fib.Len(); n4+n6 != f.n {
					t.Errorf("revision %d: %d prefixes, want %d", s.Position().Revision, n4+n6, f.n)
				}
				s.Lookup("r1", netip.MustParseAddr("10.0.0.1"))
				s.Explain("r2", netip.MustParsePrefix("10.255.0.0/24"))
				if err := s.Save(io.Discard); err != nil {
					t.Error(err)
				}
				if again := Resume(s).State(); again.Digest() != s.Digest() {
					t.Error("resumed differently")
				}
				prev = fib
			}
		})
	}
	f := NewFold("log")
	recursive := announcing("10.255.0.0/24", "10.0.0.1", func(r *eventlog.RouteAnnounced) { r.Recursive = true })
	mustApply(t, f, commit(1, recursive, announcing("10.0.0.0/24", "192.0.2.1"),
		&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r1", B: "r2"}, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}))
	n := 2
	for i := 1; i <= commits; i++ {
		c := &eventlog.Commit{Revision: eventlog.Revision(i + 1), Actor: "a", ID: "x", Time: int64(i)}
		for j := range perCommit {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i), byte(j), 0}), 24)
			r := announcing(p.String(), "192.0.2.7")
			r.Metric = uint32(i % 7)
			if i%3 == 0 {
				r.Router = "r2"
			}
			c.Events = append(c.Events, r)
		}
		n += perCommit
		mustApply(t, f, c)
		if i%5 == 0 {
			states <- frozen{f.State(), n}
		}
	}
	close(states)
	readers.Wait()
}
