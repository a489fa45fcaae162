package service

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"iter"
	"strconv"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// KeyPage is where a listing of keys goes on: a state and the last key shown.
type KeyPage struct {
	View
	prefix, after string
	at            eventlog.Revision
}

// KeyPage opens a listing of the keys that begin with prefix, local by default.
// cursor is empty or what Next gave; all pages of a listing show one revision.
// Errors: ErrGone for a cursor whose state is no longer kept, and as Key.
func (s *Service) KeyPage(ctx context.Context, r Read, prefix, cursor string) (*KeyPage, error) {
	if prefix != "" {
		if err := eventlog.CheckKey(prefix); err != nil {
			return nil, named("prefix", err)
		}
	}
	r, err := s.settled(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &KeyPage{prefix: prefix, at: r.At}
	if cursor != "" {
		return p, p.resume(ctx, s, r, cursor)
	}
	p.View, err = s.View(ctx, r, false)
	return p, err
}

// Keys iterates over what remains, in byte order.
func (p *KeyPage) Keys() iter.Seq[projector.Key] { return p.State.Keys(p.prefix, p.after) }

// Next gives the cursor that continues after the key, and keeps the page's
// state for a while, unless the listing named its revision: such a state shares
// little with the newest and is rebuilt where need be. Errors: ErrOverloaded
// where too many states are kept.
func (p *KeyPage) Next(s *Service, after string) (string, error) {
	if p.at == 0 {
		if err := s.pins.keep(p.State); err != nil {
			return "", err
		}
	}
	at := p.State.Position()
	stale := 0
	if p.Stale {
		stale = 1
	}
	text := fmt.Sprintf("k1 %d %d %d %d ", p.digest(), at.Epoch, at.Revision, stale) + after
	return base64.RawURLEncoding.EncodeToString([]byte(text)), nil
}

// digest tells a cursor of one listing from that of another.
func (p *KeyPage) digest() uint32 {
	h := fnv.New32a()
	fmt.Fprint(h, p.at, "|", p.prefix)
	return h.Sum32()
}

func (p *KeyPage) resume(ctx context.Context, s *Service, r Read, cursor string) error {
	bad := invalid("cursor", "is not one that a listing of keys gave")
	if len(cursor) > 2048 {
		return bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return bad
	}
	f := strings.SplitN(string(raw), " ", 6)
	if len(f) != 6 || f[0] != "k1" {
		return bad
	}
	var n [4]uint64
	for i, text := range f[1:5] {
		if n[i], err = strconv.ParseUint(text, 10, 63); err != nil {
			return bad
		}
	}
	if eventlog.CheckKey(f[5]) != nil {
		return bad
	}
	if uint32(n[0]) != p.digest() {
		return invalid("cursor", "belongs to a listing with another prefix or revision")
	}
	if p.after = f[5]; p.at > 0 {
		p.View, err = s.View(ctx, r, false)
		return err
	}
	st, err := s.pins.find(n[1], eventlog.Revision(n[2]))
	if err != nil {
		return err
	}
	p.View = View{State: st, Stale: n[3] == 1}
	return nil
}
