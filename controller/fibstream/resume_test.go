package fibstream

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
)

// TestResume cuts a stream, changes something, and connects again: what is
// sent must be what the rule says, and the FIB right afterwards.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name   string
		change bool // a commit that changes the FIB while it is away
		away   time.Duration
		spoil  func(*fibtest.Plane)
		edit   func(*fibpb.Hello)
		full   bool
		most   int // prefixes that may be sent
	}{
		{name: "digest equal at head"},
		{name: "position held", change: true, most: 1},
		{name: "no longer held", change: true, away: 2 * time.Minute, full: true, most: 20},
		{name: "digest equal, another epoch nonce", edit: func(h *fibpb.Hello) { h.EpochNonce = make([]byte, 16) }},
		{name: "another epoch nonce", change: true, edit: func(h *fibpb.Hello) { h.EpochNonce = make([]byte, 16) }, full: true, most: 20},
		{name: "partial", change: true, edit: func(h *fibpb.Hello) { h.Partial = true }, full: true, most: 20},
		{name: "prefix lost", spoil: func(p *fibtest.Plane) { p.Spoil(true, false) }, full: true, most: 20},
		{name: "group wrong", spoil: func(p *fibtest.Plane) { p.Spoil(false, true) }, full: true, most: 0},
		{name: "no buckets", change: true, away: 2 * time.Minute, edit: func(h *fibpb.Hello) { h.Buckets = nil }, full: true, most: 3001},
		{name: "adopted", edit: func(h *fibpb.Hello) { h.Position.LogId, h.Adopt, h.Digest = logB, true, make([]byte, 16) }, full: true, most: 0},
		{name: "nothing held", edit: func(h *fibpb.Hello) { h.Position, h.Buckets, h.Digest = nil, nil, nil }, full: true, most: 3000},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(t, logA, 1)
			s.commit(t, manyRoutes(3000)...)
			h := start(t, s, Options{})
			p := fibtest.NewPlane("r1", "i1")
			cut := h.connect(t, p, nil)
			h.synced(t, p)
			h.acked(t, "r1")
			cut()
			if c.change {
				s.commit(t, route("*", "172.16.0.0/12", "192.168.0.9", 5))
			}
			if c.spoil != nil {
				c.spoil(p)
			}
			h.clock.advance(c.away)
			stream, err := p.Connect(h.ctx, h.dial(), c.edit)
			if err != nil {
				t.Fatal(err)
			}
			sent, full := 0, false
			for {
				m, err := stream.Receive()
				if err != nil {
					t.Fatal(err)
				}
				d := m.GetDelta()
				sent += len(d.GetSet().GetLength4()) + len(d.GetSet().GetLength6())
				full = d.GetKind() == fibpb.DeltaChunk_FULL
				if d.GetEnd() {
					if err := stream.Ack(d); err != nil {
						t.Fatal(err)
					}
					break
				}
			}
			if full != c.full || sent > c.most {
				t.Errorf("full %v with %d prefixes; want full %v with at most %d", full, sent, c.full, c.most)
			}
			h.synced(t, p)
			stream.Cut()
		})
	}
}

// acked waits until the server has taken in the ack of the newest state.
func (h *harness) acked(t testing.TB, router string) {
	t.Helper()
	if _, err := h.server.WaitInstalled(h.ctx, h.State().Position().Revision, nil, routers(router)); err != nil {
		t.Fatal(err)
	}
}

func TestRepairsAWrongDigest(t *testing.T) {
	for _, c := range []struct {
		name          string
		prefix, group bool
	}{{"prefix", true, false}, {"group", false, true}, {"both", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(t, logA, 1)
			s.commit(t, manyRoutes(500)...)
			h := start(t, s, Options{})
			p := fibtest.NewPlane("r1", "i1")
			h.connect(t, p, nil)
			h.synced(t, p)
			h.acked(t, "r1")
			p.Spoil(c.prefix, c.group)
			rev := s.commit(t, route("*", "172.16.0.0/12", "192.168.0.9", 5))
			// It acks with the wrong digest, is reconciled, and acks again.
			result, err := h.server.WaitInstalled(h.ctx, rev, nil, nil)
			if err != nil || len(result.Installed) != 1 {
				t.Fatalf("%+v, %v", result, err)
			}
			h.synced(t, p)
			if _, fulls, _ := p.Counts(); fulls != 2 {
				t.Fatalf("%d full deltas, want the first and one repair", fulls)
			}
			var acks, differ, full dto.Metric
			for m, into := range map[prometheus.Metric]*dto.Metric{h.server.measures.ack: &acks, h.server.measures.differ: &differ, h.server.measures.full: &full} {
				if err := m.Write(into); err != nil {
					t.Fatal(err)
				}
			}
			if differ.GetCounter().GetValue() != 1 || full.GetCounter().GetValue() != 1 || acks.GetHistogram().GetSampleCount() < 3 {
				t.Errorf("measured: %v %v %v", &differ, &full, &acks)
			}
		})
	}
}

// TestRepairsAreBounded: a data plane that stays wrong is not reconciled
// again before the pause has passed.
func TestRepairsAreBounded(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(20)...)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fulls := 0
	for rev := s.State().Position().Revision; ; {
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		d := m.GetDelta()
		if d.GetKind() == fibpb.DeltaChunk_FULL {
			fulls++
		}
		p.Spoil(false, true) // whatever comes, it is wrong again
		if err := stream.Ack(d); err != nil {
			t.Fatal(err)
		}
		if d.GetPosition().GetRevision() == uint64(rev) && fulls >= 2 {
			if rev >= 30 {
				break
			}
			rev = s.commit(t, route("*", prefixN(int(rev)), "192.168.0.77", 5))
		}
	}
	if fulls != 2 {
		t.Fatalf("%d full deltas within one instant, want the first and one repair", fulls)
	}
	stream.Cut()
}
