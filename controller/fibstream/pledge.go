package fibstream

import (
	"time"

	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// maxInverse is the largest inverse that is sent, encoded: a data plane keeps
// 12 MiB of them.
const maxInverse = 8 << 20

// pledges are the inverses of unconfirmed commits that a data plane was given.
type pledges struct {
	given map[eventlog.Revision]pledge
	next  time.Time // older ones are made anew not before
}

// pledge is the FIB that an inverse was made for, and what it leads to.
type pledge struct {
	at, undone projector.Digest
	sent       bool // false: it would change nothing, or is too large
}

// pledge sends what undoes each unconfirmed commit that fib holds, before the
// delta to fib: so the data plane never has the commit without its inverse. An
// inverse carries all its groups, so that it can be applied before the delta, too.
// Where the table changed since, it is made anew, which takes a tenth of the
// time at most. wait > 0: something is due then.
func (x *session) pledge(fib *projector.FIB) (wait time.Duration, err error) {
	s := fib.State()
	for _, r := range s.Pending() {
		old, known := x.pledges.given[r]
		if known && old.at == fib.Digest() {
			continue
		}
		began := x.server.options.Now()
		if known && began.Before(x.pledges.next) {
			wait = x.pledges.next.Sub(began)
			continue
		}
		m, undone, err := x.inverse(fib, s, r)
		if err != nil {
			return 0, err
		}
		now := pledge{at: fib.Digest(), undone: undone, sent: m != nil}
		switch {
		case m != nil:
			err = x.stream.Send(&fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Unconfirmed{Unconfirmed: m}})
		case old.sent:
			err = x.sendSettled(r)
		}
		if err != nil {
			return 0, err
		}
		if x.pledges.given == nil {
			x.pledges.given = map[eventlog.Revision]pledge{}
		}
		x.pledges.given[r] = now
		ended := x.server.options.Now()
		x.pledges.next = ended.Add(10 * ended.Sub(began))
	}
	return wait, nil
}

// inverse makes the message that undoes commit r in fib; nil: it changes nothing
// there, or is too large.
func (x *session) inverse(fib *projector.FIB, s *projector.State, r eventlog.Revision) (*fibpb.Unconfirmed, projector.Digest, error) {
	c, ok := s.Confirmation(r)
	if !ok {
		return nil, fib.Digest(), nil
	}
	events, _ := s.Undo(&c)
	after, err := s.Try(&eventlog.Commit{Time: s.Time(), Events: append(events, &eventlog.ConfirmationUndone{Revision: r})})
	if err != nil {
		return nil, fib.Digest(), err
	}
	undone := after.FIB(x.router, fib)
	d := undone.Delta(fib)
	if d.Empty() {
		return nil, undone.Digest(), nil
	}
	for i := range d.Classes {
		if g := &d.Classes[i]; g.NextHops == nil {
			g.NextHops = undone.Group(g.ID)
		}
	}
	left := time.UnixMilli(c.Deadline).Sub(x.server.options.Now())
	m := &fibpb.Unconfirmed{Revision: uint64(r), DeadlineMs: uint64(c.Deadline), RemainingMs: uint64(max(left, 0).Milliseconds())}
	size := 0
	e := x.server.encoders.Get().(*encoder)
	defer x.server.encoders.Put(e)
	err = e.encode(0, d, func(chunk *fibpb.DeltaChunk) error {
		if size += proto.Size(chunk); size > maxInverse {
			return nil
		}
		m.Inverse = append(m.Inverse, proto.Clone(chunk).(*fibpb.DeltaChunk))
		return nil
	})
	if err != nil || size > maxInverse {
		return nil, undone.Digest(), err
	}
	return m, undone.Digest(), nil
}

// redeem tells the data plane, behind the delta to fib, which commits wait for
// no confirmation any more.
func (x *session) redeem(fib *projector.FIB) error {
	if len(x.pledges.given) == 0 {
		return nil
	}
	for r, p := range x.pledges.given {
		if _, ok := fib.State().Confirmation(r); ok {
			continue
		}
		delete(x.pledges.given, r)
		if !p.sent {
			continue
		}
		if err := x.sendSettled(r); err != nil {
			return err
		}
	}
	return nil
}

func (x *session) sendSettled(r eventlog.Revision) error {
	return x.stream.Send(&fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Settled{Settled: &fibpb.Settled{Revision: uint64(r)}}})
}
