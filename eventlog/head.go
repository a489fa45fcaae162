package eventlog

import (
	"fmt"
)

// AppendHead appends the JSON of h, Guard left out.
func AppendHead(dst []byte, h Head) []byte {
	dst = appendUint(dst, `{"revision":`, uint64(h.Revision))
	dst = appendUint(dst, `,"epoch":`, h.Epoch)
	dst = appendHex(dst, `,"nonce":`, h.Nonce[:])
	dst = appendHex(dst, `,"hash":`, h.Hash[:])
	return append(appendUint(dst, `,"level":`, uint64(h.Level)), '}')
}

// DecodeHead reads what AppendHead writes. Unknown members are passed over, so
// that a newer program may add some. Errors: ErrCorrupt.
func DecodeHead(b []byte) (Head, error) {
	var d Decoder
	s := &d.s
	s.reset(b)
	var f frame
	var h Head
	if s.open("") {
		for {
			key, ok := s.member(&f)
			if !ok {
				break
			}
			switch string(key) {
			case "revision":
				s.once(&f, 0, "revision")
				h.Revision = Revision(s.uint("revision", 1<<64-1))
			case "epoch":
				s.once(&f, 1, "epoch")
				h.Epoch = s.uint("epoch", 1<<64-1)
			case "nonce":
				s.once(&f, 2, "nonce")
				s.hex("nonce", h.Nonce[:])
			case "hash":
				s.once(&f, 3, "hash")
				s.hex("hash", h.Hash[:])
			case "level":
				s.once(&f, 4, "level")
				h.Level = uint32(s.uint("level", 1<<32-1))
			default:
				s.skip(0)
			}
		}
		for bit, field := range [...]string{"revision", "epoch", "nonce", "hash", "level"} {
			s.require(&f, uint(bit), field)
		}
	}
	s.end()
	if s.err != nil {
		return Head{}, fmt.Errorf("head: %w: %w", ErrCorrupt, s.err)
	}
	return h, nil
}

// Follow is the head after b, which must continue h: next revision, chain and
// epoch. Guard is zero in the result. Errors: ErrHole when revisions lack,
// ErrCorrupt otherwise.
func (h Head) Follow(b *Batch) (Head, error) {
	first := b.First()
	switch {
	case first > h.Revision+1:
		return Head{}, fmt.Errorf("%w: revision %d follows %d", ErrHole, first, h.Revision)
	case first != h.Revision+1:
		return Head{}, fmt.Errorf("%w: revision %d follows %d", ErrCorrupt, first, h.Revision)
	case b.Prev != h.Hash:
		return Head{}, fmt.Errorf("%w: the hash chain breaks before revision %d", ErrCorrupt, first)
	}
	next := h
	next.Guard = 0
	if e := b.Commits[0].epochStarted(); e != nil {
		if e.Epoch <= h.Epoch {
			return Head{}, fmt.Errorf("%w: epoch %d follows %d", ErrCorrupt, e.Epoch, h.Epoch)
		}
		next.Nonce = e.Nonce
		next.Epoch = e.Epoch
		next.Level = max(next.Level, 1)
	}
	if b.Epoch != next.Epoch {
		return Head{}, fmt.Errorf("%w: a batch of epoch %d in epoch %d", ErrCorrupt, b.Epoch, next.Epoch)
	}
	for i := range b.Commits {
		for _, e := range b.Commits[i].Events {
			if l, ok := e.(*LevelRaised); ok {
				next.Level = l.Level
			}
		}
	}
	next.Revision, next.Hash = b.Last(), b.Hash
	return next, nil
}
