package appender

import (
	"fmt"

	"dvr/eventlog"
	"dvr/projector"
)

// Basis is the state that events were computed from, as far as they rest on it:
// they are right at any later one where none of their items has changed.
type Basis struct {
	Revision eventlog.Revision `json:"revision"`
	// Present has a bit for each event, the lowest of a byte first: its item was there.
	Present []byte `json:"present"`
	// Named is the routers that something spoke of before they were declared: their
	// removal brings that back, so what speaks of them does not keep them.
	Named []eventlog.RouterID `json:"named,omitempty"`
}

// BasisOf is the basis of events that were computed from s. Cost: a lookup an event.
func BasisOf(s *projector.State, events []eventlog.Event) *Basis {
	b := &Basis{Revision: s.Position().Revision, Present: make([]byte, (len(events)+7)/8)}
	for i, e := range events {
		if s.Item(e).Event != nil {
			b.Present[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// Check is ErrConflict, naming the first item, where one of the events' items was
// changed since. Cost: a lookup an event.
func (b *Basis) Check(s *projector.State, events []eventlog.Event) error {
	if s.Position().Revision == b.Revision {
		return nil
	}
	changed := 0
	first := ""
	for i, e := range events {
		there := i/8 < len(b.Present) && b.Present[i/8]&(1<<(i%8)) != 0
		now := s.Item(e)
		if there == (now.Event != nil) && now.Revision <= b.Revision {
			continue
		}
		if changed++; changed == 1 {
			first = fmt.Sprintf("events[%d] (%s)", i, e.Kind())
		}
	}
	if changed == 0 {
		return nil
	}
	return fmt.Errorf("%w: the items of %d events, the first %s, were changed after revision %d", ErrConflict, changed, first, b.Revision)
}
