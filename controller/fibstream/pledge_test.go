package fibstream

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

// follow connects p and gives every message that it receives, acked and granted.
func (h *harness) follow(t *testing.T, p *fibtest.Plane) (<-chan *fibpb.ControllerMessage, *fibtest.Stream) {
	t.Helper()
	s, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan *fibpb.ControllerMessage, 1024)
	go func() {
		defer close(out)
		for {
			m, err := s.Receive()
			if err != nil {
				return
			}
			out <- proto.Clone(m).(*fibpb.ControllerMessage)
			if c := m.GetDelta(); c != nil {
				if c.GetEnd() {
					_ = s.Ack(c)
				}
				_ = s.Grant(1)
			}
		}
	}()
	t.Cleanup(s.Cut)
	return out, s
}

// copyOf is a table with what was received so far, one more delta at its end.
type copyOf struct {
	table *fibtest.Table
	last  uint64
}

func (c *copyOf) apply(t *testing.T, chunk *fibpb.DeltaChunk) {
	t.Helper()
	if _, err := c.table.Apply(chunk); err != nil {
		t.Fatal(err)
	}
	c.last = chunk.GetDelta()
}

// TestInversesTravelWithTheirCommits: before the delta of an unconfirmed commit
// comes what undoes it, applied before or after that delta; it is made anew when
// the table changes, and settled behind the delta that settles it.
func TestInversesTravelWithTheirCommits(t *testing.T) {
	old, other := route("*", "10.0.0.0/8", "192.0.2.1", 1), route("r1", "10.1.0.0/16", "192.0.2.2", 1)
	for _, how := range []string{"confirmed", "undone"} {
		t.Run(how, func(t *testing.T) {
			h := start(t, newSource(t, logA, 1), Options{})
			h.commit(t, old, other)
			before := h.State().FIB("r1", nil).Digest().Bytes()
			p := fibtest.NewPlane("r1", "i")
			messages, _ := h.follow(t, p)
			h.synced(t, p)
			r := h.commit(t, route("*", "10.0.0.0/8", "192.0.2.1", 9), route("*", "11.0.0.0/8", "192.0.2.7", 1), withdraw(other),
				&eventlog.ConfirmationOpened{Deadline: h.clock.Now().UnixMilli() + 60_000})
			h.synced(t, p)

			c := copyOf{table: fibtest.NewTable()}
			var inverse *fibpb.Unconfirmed
			next := func() *fibpb.ControllerMessage {
				select {
				case m := <-messages:
					return m
				case <-h.ctx.Done():
					t.Fatal("nothing more comes")
				}
				return nil
			}
			for inverse == nil {
				switch m := next(); {
				case m.GetDelta() != nil:
					c.apply(t, m.GetDelta())
				case m.GetUnconfirmed() != nil:
					inverse = m.GetUnconfirmed()
				}
			}
			if inverse.GetRevision() != uint64(r) || inverse.GetRemainingMs() != 60_000 || inverse.GetDeadlineMs() == 0 {
				t.Errorf("%v", inverse)
			}
			if !bytes.Equal(c.table.Digest().Bytes(), before) {
				t.Fatal("the commit came before its inverse")
			}
			undo := func(x *fibpb.Unconfirmed) {
				t.Helper()
				for _, chunk := range x.GetInverse() {
					chunk.Delta = c.last + 1
					if _, err := c.table.Apply(chunk); err != nil {
						t.Fatal(err)
					}
				}
				last := x.GetInverse()[len(x.GetInverse())-1]
				if !last.GetEnd() || !bytes.Equal(last.GetDigest(), c.table.Digest().Bytes()) {
					t.Error("the inverse does not lead where it says")
				}
			}
			undo(inverse) // too early: changes nothing
			if !bytes.Equal(c.table.Digest().Bytes(), before) {
				t.Error("applied before its commit, the inverse changes something")
			}
			for d := next().GetDelta(); ; d = next().GetDelta() {
				if c.apply(t, d); d.GetEnd() {
					break
				}
			}
			if bytes.Equal(c.table.Digest().Bytes(), before) {
				t.Fatal("the commit changed nothing")
			}

			// Another commit: the inverse is made anew, for the table as it is now.
			h.commit(t, route("r1", "12.0.0.0/8", "192.0.2.7", 1))
			h.clock.advance(1)
			h.synced(t, p)
			inverse = nil
			for ended := false; inverse == nil || !ended; {
				switch m := next(); {
				case m.GetDelta() != nil:
					c.apply(t, m.GetDelta())
					ended = ended || m.GetDelta().GetEnd()
				case m.GetUnconfirmed() != nil:
					inverse = m.GetUnconfirmed()
				}
			}
			saved := c
			undo(inverse)
			want, err := h.State().Try(&eventlog.Commit{Time: 1, Events: []eventlog.Event{old, withdraw(route("*", "11.0.0.0/8", "192.0.2.7", 1)), other}})
			if err != nil {
				t.Fatal(err)
			}
			if got := want.FIB("r1", nil).Digest().Bytes(); !bytes.Equal(c.table.Digest().Bytes(), got) {
				t.Error("what the data plane would undo is not what the controller would")
			}
			c = saved

			if how == "confirmed" {
				h.commit(t, &eventlog.ConfirmationConfirmed{Revision: r})
			} else {
				k, _ := h.State().Confirmation(r)
				events, _ := h.State().Undo(&k)
				h.commit(t, append(events, &eventlog.ConfirmationUndone{Revision: r})...)
			}
			ended := false
			for {
				m := next()
				if d := m.GetDelta(); d != nil {
					ended = ended || d.GetEnd()
				}
				if s := m.GetSettled(); s != nil {
					if s.GetRevision() != uint64(r) || !ended {
						t.Errorf("settled %d, after the delta: %v", s.GetRevision(), ended)
					}
					break
				}
			}
			h.synced(t, p)
		})
	}
}

// TestInversesAreRepeatedOnANewStream: before the end of its first delta.
func TestInversesAreRepeatedOnANewStream(t *testing.T) {
	h := start(t, newSource(t, logA, 1), Options{})
	r := h.commit(t, route("*", "10.0.0.0/8", "192.0.2.1", 9), &eventlog.ConfirmationOpened{Deadline: h.clock.Now().UnixMilli() + 1000})
	p := fibtest.NewPlane("r1", "i")
	for range 2 {
		messages, s := h.follow(t, p)
		m := <-messages
		if m.GetUnconfirmed().GetRevision() != uint64(r) {
			t.Fatalf("%v", m)
		}
		h.synced(t, p)
		s.Cut()
		h.gone(t, "r1")
	}
}
