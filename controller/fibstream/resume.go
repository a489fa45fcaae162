package fibstream

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// plan is how a stream begins: with the difference to base, or, without one,
// with a full delta limited to buckets (nil: all).
type plan struct {
	base    *projector.FIB
	buckets *[bucketCount / 8]byte
	// fib is what buckets were compared with: the delta must be of it, since a
	// later FIB may differ in other buckets too.
	fib *projector.FIB
}

// catchUp waits until this controller has reached what the data plane holds.
func (x *session) catchUp(ctx context.Context, p *fibpb.Position) error {
	ahead := func() bool {
		at := x.server.states.State().Position()
		return p.GetLogId() == at.LogID &&
			before(at, eventlog.Position{Epoch: p.GetEpoch(), Revision: eventlog.Revision(p.GetRevision())})
	}
	if p.GetLogId() == "" || !ahead() {
		return nil
	}
	timer := time.NewTimer(x.server.options.CatchUp)
	defer timer.Stop()
	for {
		changed := x.server.states.Changed()
		if !ahead() {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return status.Errorf(codes.Unavailable, "this controller is behind revision %d of epoch %d, which the data plane holds: connect to another one",
				p.GetRevision(), p.GetEpoch())
		case <-x.quit:
			return x.cause()
		case <-x.server.closing:
			return errClosing
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// resume decides what is sent first, by the rules of decision 2. now is the
// FIB at head; kept finds a FIB that this controller still holds.
func resume(h *fibpb.Hello, nonce eventlog.Nonce, now *projector.FIB, kept func(eventlog.Position) *projector.FIB) plan {
	p := h.GetPosition()
	if p.GetLogId() == "" {
		return plan{}
	}
	if !h.GetPartial() {
		if bytes.Equal(h.GetDigest(), now.Digest().Bytes()) {
			return plan{base: now}
		}
		// A position means the same state only within one epoch of one history.
		if at := now.Position(); p.GetLogId() == at.LogID && p.GetEpoch() == at.Epoch && bytes.Equal(h.GetEpochNonce(), nonce[:]) {
			old := kept(eventlog.Position{LogID: p.GetLogId(), Epoch: p.GetEpoch(), Revision: eventlog.Revision(p.GetRevision())})
			if old != nil && bytes.Equal(h.GetDigest(), old.Digest().Bytes()) {
				return plan{base: old}
			}
		}
	}
	if len(h.GetBuckets()) == 0 {
		return plan{}
	}
	return plan{buckets: differing(h.GetBuckets(), now.Buckets()), fib: now}
}

// differing is the bitmap of the buckets whose sums are not equal.
func differing(theirs []byte, ours *[bucketCount]projector.Digest) *[bucketCount / 8]byte {
	var bits [bucketCount / 8]byte
	for i := range ours {
		if !bytes.Equal(theirs[i*digestBytes:(i+1)*digestBytes], ours[i].Bytes()) {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return &bits
}
