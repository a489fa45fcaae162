package fibstream

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
	"dvr/projector"
)

// send encodes d, checks the bounds of each chunk, and applies it to table.
func send(t testing.TB, e *encoder, number uint64, d *projector.Delta, table *fibtest.Table) (chunks int) {
	t.Helper()
	ended := false
	err := e.encode(number, d, func(c *fibpb.DeltaChunk) error {
		chunks++
		b, err := proto.Marshal(c)
		if err != nil {
			return err
		}
		if len(b) > e.limit {
			return fmt.Errorf("a chunk of %d bytes, the limit is %d", len(b), e.limit)
		}
		received := &fibpb.DeltaChunk{}
		if err := proto.Unmarshal(b, received); err != nil {
			return err
		}
		if ended {
			return fmt.Errorf("a chunk after the end")
		}
		ended, err = table.Apply(received)
		return err
	})
	if err != nil || !ended {
		t.Fatalf("delta %d: ended %v, %v", number, ended, err)
	}
	return chunks
}

func TestEncoderAgainstTable(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		s := newSource(t, logA, 1)
		e := &encoder{limit: 8 << 10}
		table := fibtest.NewTable()
		var base, chained *projector.FIB
		for n := range uint64(200) {
			used := map[string]bool{}
			var events []eventlog.Event
			for range 1 + rng.IntN(8) {
				if e, key := randomEvent(rng); !used[key] {
					used[key] = true
					events = append(events, e)
				}
			}
			s.commit(t, events...)
			if rng.IntN(3) == 0 {
				continue // compiled over several commits
			}
			chained = s.State().FIB("r1", chained)
			if want := s.State().FIB("r1", nil); want.Digest() != chained.Digest() {
				t.Fatalf("seed %d, delta %d: compiled on top %s, afresh %s", seed, n, chained.Digest(), want.Digest())
			}
			if rng.IntN(3) == 0 {
				continue // merged with the next
			}
			send(t, e, n+1, chained.Delta(base), table)
			base = chained
			if got := table.Digest(); string(got.Bytes()) != string(base.Digest().Bytes()) {
				v4, v6 := base.Len()
				t.Fatalf("seed %d, delta %d: digest %x of %d prefixes, want %s of %d", seed, n, got.Bytes(), len(table.Prefixes), base.Digest(), v4+v6)
			}
		}
	}
}

func TestLargeDeltasAreCut(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(4000)...)
	e := &encoder{limit: 8 << 10}
	table := fibtest.NewTable()
	fib := s.State().FIB("r1", nil)
	if n := send(t, e, 1, fib.Delta(nil), table); n < 6 {
		t.Fatalf("%d chunks", n)
	}
	for i, e := range manyRoutes(4000) {
		if i%3 != 0 {
			s.commit(t, withdraw(e.(*eventlog.RouteAnnounced)))
		}
	}
	now := s.State().FIB("r1", fib)
	if n := send(t, e, 2, now.Delta(fib), table); n < 3 {
		t.Fatalf("removals came in %d chunks", n)
	}
	if got := table.Digest(); string(got.Bytes()) != string(now.Digest().Bytes()) {
		t.Fatal("digests differ")
	}
}
