package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/service"
	"dvr/eventlog"
)

// maxRecord bounds one record: a commit of the largest body that the API takes,
// in its stored form.
const maxRecord = 128 << 20

var errRecord = errors.New("malformed record")

// request is a change on its way to the node that appends.
type request struct {
	number uint64 // the caller's; answers name it
	// round is raised when the caller sends everything unanswered again. What
	// came in a round of which something was turned away is turned away, too, so
	// that the order is kept.
	round uint64
	// floor is where the caller's state was before it sent the change for the
	// first time, plus one, when it was sent before: a commit of it lies above.
	floor  uint64
	change []byte
}

func appendRequest(dst []byte, r request) []byte {
	n := uvarintLen(r.number) + uvarintLen(r.round) + uvarintLen(r.floor) + len(r.change)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, r.number)
	dst = binary.AppendUvarint(dst, r.round)
	dst = binary.AppendUvarint(dst, r.floor)
	return append(dst, r.change...)
}

func readRequest(raw []byte) (r request, err error) {
	for _, v := range []*uint64{&r.number, &r.round, &r.floor} {
		n := 0
		if *v, n = binary.Uvarint(raw); n <= 0 {
			return r, errRecord
		}
		raw = raw[n:]
	}
	r.change = raw
	return r, nil
}

// verdict is what became of a request.
type verdict byte

const (
	stored  verdict = iota // at epoch, revision
	refused                // for good
	turned                 // away: nothing was stored, another node or a later moment may do
	unknown                // it may be stored, or be later
	expired                // it was sent before, and whether it was stored then is no longer known
)

// answer is a verdict and what belongs to it.
type answer struct {
	number     uint64
	verdict    verdict
	epoch      uint64 // stored
	revision   eventlog.Revision
	replayed   bool
	noChange   bool
	remembered bool
	err        error // refused, turned, unknown
}

// Flags of what was stored.
const (
	flagReplayed = 1 << iota
	flagNoChange
	flagRemembered
)

func appendAnswer(dst []byte, a *answer) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(dst, a.number)
	dst = append(dst, byte(a.verdict))
	switch a.verdict {
	case stored:
		flags := byte(0)
		if a.replayed {
			flags |= flagReplayed
		}
		if a.noChange {
			flags |= flagNoChange
		}
		if a.remembered {
			flags |= flagRemembered
		}
		dst = append(dst, flags)
		dst = binary.AppendUvarint(dst, a.epoch)
		dst = binary.AppendUvarint(dst, uint64(a.revision))
	case refused, turned, unknown:
		dst = service.AppendError(dst, a.err)
	}
	return frameRecord(dst, start)
}

// frameRecord puts the length before what was appended since start.
func frameRecord(dst []byte, start int) []byte {
	n := len(dst) - start
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	dst = append(dst, length[:size]...)
	copy(dst[start+size:], dst[start:start+n])
	copy(dst[start:], length[:size])
	return dst
}

func readAnswer(raw []byte) (a answer, err error) {
	n := 0
	if a.number, n = binary.Uvarint(raw); n <= 0 || n == len(raw) {
		return a, errRecord
	}
	a.verdict, raw = verdict(raw[n]), raw[n+1:]
	switch a.verdict {
	case stored:
		if len(raw) == 0 {
			return a, errRecord
		}
		a.replayed, a.noChange, a.remembered = raw[0]&flagReplayed != 0, raw[0]&flagNoChange != 0, raw[0]&flagRemembered != 0
		raw = raw[1:]
		if a.epoch, n = binary.Uvarint(raw); n <= 0 {
			return a, errRecord
		}
		revision, m := binary.Uvarint(raw[n:])
		if m <= 0 {
			return a, errRecord
		}
		a.revision = eventlog.Revision(revision)
	case refused, turned, unknown:
		a.err = service.ReadError(raw)
	case expired:
	default:
		return a, fmt.Errorf("%w: verdict %d", errRecord, a.verdict)
	}
	return a, nil
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// maxPartial bounds what all callers together have sent of records that are not
// complete.
const maxPartial = 4 * maxRecord

var errPartial = status.Errorf(codes.ResourceExhausted, "the changes that are being sent to this node take more than %d MiB", maxPartial>>20)

// records puts records together from the pieces of their stream.
type records struct {
	rest []byte
	all  *atomic.Int64 // bytes of rest, with those of others; nil: they are not counted
	mine int64         // of all
}

// count counts rest.
func (r *records) count() error {
	n := int64(cap(r.rest)) - r.mine
	if r.all == nil || n == 0 {
		return nil
	}
	if r.all.Add(n) > maxPartial && n > 0 {
		r.all.Add(-n)
		return errPartial
	}
	r.mine += n
	return nil
}

// end gives back what was counted.
func (r *records) end() {
	r.rest = nil
	_ = r.count() // less is no error
}

// feed calls fn with each record that piece completes; a record is valid only
// during the call.
func (r *records) feed(piece []byte, fn func([]byte) error) error {
	if len(r.rest) > 0 {
		r.rest = append(r.rest, piece...)
		piece = r.rest
	}
	for {
		n, size := binary.Uvarint(piece)
		switch {
		case size < 0 || n > maxRecord:
			return errRecord
		case size == 0 || n > uint64(len(piece)-size):
			switch {
			case len(piece) == 0:
				r.rest = nil
			case len(piece) < cap(r.rest)/4: // of a large record that is complete
				r.rest = append([]byte(nil), piece...)
			default:
				r.rest = append(r.rest[:0], piece...)
			}
			return r.count()
		}
		if err := fn(piece[size : size+int(n)]); err != nil {
			return err
		}
		piece = piece[size+int(n):]
	}
}
