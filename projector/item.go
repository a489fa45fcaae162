package projector

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// item is something other than a route that the log set. Immutable.
type item struct {
	event   eventlog.Event // the event that would set it
	rev     eventlog.Revision
	inverse []eventlog.Event // of a pending confirmation or lifetime: what undoes its commit, as of then (State.undoing)
	gone    int              // so many of inverse, the first, restore what the commit removed
}

// lends: it is a timer that says what is given back.
func (it *item) lends() bool {
	t, ok := it.event.(*eventlog.TimerSet)
	return ok && t.Undo && len(t.Events) > 0
}

// The items' keys: one letter for the kind, then the identity. The letters'
// order is that of a snapshot.
const (
	itemEpoch        = 'a'
	itemLevel        = 'b'
	itemRouter       = 'c'
	itemLink         = 'd'
	itemLinkSeen     = 'e'
	itemNextHopSeen  = 'f'
	itemKey          = 'g'
	itemGuard        = 'h'
	itemFreeze       = 'i'
	itemRole         = 'j'
	itemTimer        = 'k'
	itemConfirmation = 'l'
	itemToken        = 'm'
	itemAuth         = 'n'
)

func itemKeyOf(kind byte, names ...string) pmap.String {
	n := 1 + len(names)
	for _, s := range names {
		n += len(s)
	}
	b := make([]byte, 0, n)
	b = append(b, kind)
	for i, s := range names {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, s...)
	}
	return pmap.String(b)
}

func linkKey(kind byte, l *eventlog.LinkID, more ...string) pmap.String {
	return itemKeyOf(kind, append([]string{string(l.A), string(l.B), l.Name}, more...)...)
}

func nextHopKey(vrf string, router eventlog.RouterID, hop netip.Addr, iface string) pmap.String {
	return itemKeyOf(itemNextHopSeen, string(router), vrf, hop.String(), iface)
}

func confirmationKey(r eventlog.Revision) pmap.String {
	return itemKeyOf(itemConfirmation, string(binary.BigEndian.AppendUint64(nil, uint64(r))))
}

// setterKey is the key of the item that e sets; "" for an event that sets none.
func setterKey(e eventlog.Event, rev eventlog.Revision) pmap.String {
	switch e := e.(type) {
	case *eventlog.RouterSet:
		return itemKeyOf(itemRouter, string(e.Router))
	case *eventlog.LinkSet:
		return linkKey(itemLink, &e.LinkID)
	case *eventlog.LinkObserved:
		return linkKey(itemLinkSeen, &e.LinkID, string(e.Router))
	case *eventlog.NextHopObserved:
		return nextHopKey(e.VRF, e.Router, e.NextHop, e.Interface)
	case *eventlog.KeyPut:
		return itemKeyOf(itemKey, e.Key)
	case *eventlog.GuardSet:
		return itemKeyOf(itemGuard, e.Name)
	case *eventlog.FreezeSet:
		return itemKeyOf(itemFreeze, e.Name)
	case *eventlog.RoleSet:
		return itemKeyOf(itemRole, e.Actor)
	case *eventlog.TokenSet:
		return itemKeyOf(itemToken, e.ID)
	case *eventlog.AuthEnabled:
		return itemKeyOf(itemAuth)
	case *eventlog.TimerSet:
		return itemKeyOf(itemTimer, e.Name)
	case *eventlog.ConfirmationOpened:
		return confirmationKey(rev)
	case *eventlog.EpochStarted:
		return itemKeyOf(itemEpoch)
	case *eventlog.LevelRaised:
		return itemKeyOf(itemLevel)
	}
	return ""
}

// removerKey is the key of the item that e removes; "" for an event that removes none.
func removerKey(e eventlog.Event) pmap.String {
	switch e := e.(type) {
	case *eventlog.RouterRemoved:
		return itemKeyOf(itemRouter, string(e.Router))
	case *eventlog.LinkRemoved:
		return linkKey(itemLink, &e.LinkID)
	case *eventlog.KeyDeleted:
		return itemKeyOf(itemKey, e.Key)
	case *eventlog.GuardRemoved:
		return itemKeyOf(itemGuard, e.Name)
	case *eventlog.FreezeRemoved:
		return itemKeyOf(itemFreeze, e.Name)
	case *eventlog.RoleRemoved:
		return itemKeyOf(itemRole, e.Actor)
	case *eventlog.TokenRemoved:
		return itemKeyOf(itemToken, e.ID)
	case *eventlog.AuthDisabled:
		return itemKeyOf(itemAuth)
	case *eventlog.TimerFired:
		return itemKeyOf(itemTimer, e.Name)
	case *eventlog.TimerCancelled:
		return itemKeyOf(itemTimer, e.Name)
	case *eventlog.TimerFailed:
		return itemKeyOf(itemTimer, e.Name)
	case *eventlog.ConfirmationConfirmed:
		return confirmationKey(e.Revision)
	case *eventlog.ConfirmationUndone:
		return confirmationKey(e.Revision)
	}
	return ""
}

// applyItem folds an event that is not a route's.
func (f *Fold) applyItem(e eventlog.Event, c *eventlog.Commit) {
	switch e := e.(type) {
	case *eventlog.RouterRemoved:
		f.forgetObserver(e.Router)
	case *eventlog.LinkRemoved:
		f.removeItems(linkKey(itemLinkSeen, &e.LinkID, ""))
	case *eventlog.EpochStarted:
		f.pos.Epoch, f.nonce = e.Epoch, e.Nonce
		if e.LogID != "" {
			f.pos.LogID = e.LogID
		}
		f.epochs = append(f.epochs, Epoch{e.Epoch, c.Revision})
	case *eventlog.LevelRaised:
		f.level = e.Level
	case *eventlog.KeyPut, *eventlog.KeyDeleted:
		f.keysAt = c.Revision
	case *eventlog.ClockStepped:
		f.step(e.To - e.From)
		return
	}
	if k := setterKey(e, c.Revision); k != "" {
		f.settle(k, false, c.Revision)
		f.setItem(k, &item{event: e, rev: c.Revision})
	} else if k := removerKey(e); k != "" {
		kind := e.Kind()
		f.settle(k, kind == eventlog.KindTimerFired || kind == eventlog.KindConfirmationUndone, c.Revision)
		f.removeItem(k)
	}
	switch e.(type) {
	case *eventlog.GuardSet, *eventlog.GuardRemoved:
		f.recount()
	}
}

func (f *Fold) setItem(k pmap.String, it *item) {
	before, existed := f.items.Set(k, it)
	if existed {
		f.digest = f.digest.Sub(f.itemDigest(before))
		f.weigh(before, -1)
	}
	f.digest = f.digest.Add(f.itemDigest(it))
	f.weigh(it, 1)
	if !existed {
		f.countItem(k, it, 1)
	}
	f.topologyTouched(k)
}

func (f *Fold) removeItem(k pmap.String) {
	before, existed := f.items.Delete(k)
	if !existed {
		return
	}
	f.digest = f.digest.Sub(f.itemDigest(before))
	f.weigh(before, -1)
	f.countItem(k, before, -1)
	f.topologyTouched(k)
}

func (f *Fold) countItem(k pmap.String, it *item, by int) {
	switch k[0] {
	case itemKey:
		f.keys += by
	case itemLink:
		f.links += by
		l := it.event.(*eventlog.LinkSet)
		f.name(l.A, by)
		f.name(l.B, by)
	}
}

// weigh counts the bytes of a key and its value.
func (f *Fold) weigh(it *item, by int64) {
	if e, ok := it.event.(*eventlog.KeyPut); ok {
		f.keyBytes += by * int64(len(e.Key)+len(e.Value))
	}
}

func (f *Fold) topologyTouched(k pmap.String) {
	switch k[0] {
	case itemRouter, itemLink, itemLinkSeen:
		f.touched = append(f.touched, k)
		if len(f.touched) > maxTouched { // too many to be worth it
			f.topology, f.touched = nil, f.touched[:0]
		}
	case itemTimer, itemConfirmation:
		f.agenda = nil
	case itemGuard, itemFreeze, itemRole, itemToken, itemAuth:
		f.policy = nil
	}
}

func (f *Fold) itemDigest(it *item) Digest {
	f.scratch.line = eventlog.AppendEvent(f.scratch.line[:0], it.event)
	f.scratch.line = binary.LittleEndian.AppendUint64(f.scratch.line, uint64(it.rev))
	return hashItem(f.scratch.line)
}

// removeItems removes every item whose key begins with prefix.
func (f *Fold) removeItems(prefix pmap.String) {
	var keys []pmap.String
	for k := range itemsOf(f.items.View, prefix) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		f.removeItem(k)
	}
}

// forgetObserver clears what a router that is being removed has observed.
func (f *Fold) forgetObserver(r eventlog.RouterID) {
	f.removeItems(itemKeyOf(itemNextHopSeen, string(r), ""))
	var keys []pmap.String
	for k, it := range itemsOf(f.items.View, pmap.String(rune(itemLinkSeen))) {
		if it.event.(*eventlog.LinkObserved).Router == r {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		f.removeItem(k)
	}
}

// moved is a time moved by a clock step, kept within what the log can write:
// else a state would hold another deadline than its snapshot, and the two would
// part at the next step.
func moved(at, by int64) int64 { return min(max(at+by, 1), eventlog.MaxTime) }

// step moves every pending deadline with log time.
func (f *Fold) step(by int64) {
	f.window.step(by)
	items := map[pmap.String]*item{}
	for k, it := range itemsOf(f.items.View, pmap.String(rune(itemTimer))) {
		t := *it.event.(*eventlog.TimerSet)
		t.At = moved(t.At, by)
		for i, e := range t.Events {
			if end, ok := e.(*eventlog.TimerSet); ok {
				n := *end
				n.At = moved(n.At, by)
				t.Events = slices.Clone(t.Events)
				t.Events[i] = &n
			}
		}
		items[k] = &item{event: &t, rev: it.rev, inverse: it.inverse, gone: it.gone}
	}
	for k, it := range itemsOf(f.items.View, pmap.String(rune(itemConfirmation))) {
		c := *it.event.(*eventlog.ConfirmationOpened)
		c.Deadline = moved(c.Deadline, by)
		items[k] = &item{event: &c, rev: it.rev, inverse: it.inverse, gone: it.gone}
	}
	for k, it := range items {
		f.setItem(k, it)
	}
}

// undo is the event that undoes e in the fold as it is before e; nil: e
// changes nothing that is undone (observations, timers that have fired or
// failed, epochs).
func (f *Fold) undo(e eventlog.Event) eventlog.Event {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		if c, ok := f.Current().Route(e.RouteID); ok {
			return &c.RouteAnnounced
		}
		return &eventlog.RouteWithdrawn{RouteID: e.RouteID}
	case *eventlog.RouteWithdrawn:
		if c, ok := f.Current().Route(e.RouteID); ok {
			return &c.RouteAnnounced
		}
		return nil
	case *eventlog.TimerFired, *eventlog.TimerFailed:
		return nil // set again it would fire again
	}
	k := setterKey(e, f.pos.Revision)
	if k == "" {
		k = removerKey(e)
	}
	if k == "" {
		return nil
	}
	switch k[0] {
	case itemEpoch, itemLevel, itemLinkSeen, itemNextHopSeen, itemConfirmation, itemToken, itemAuth:
		return nil // a token that was revoked stays so
	}
	if it, ok := f.items.Get(k); ok && !lifetime(it.event) {
		return it.event
	}
	return remover(e)
}

// lifetime: e is a timer that cannot be set again: it would undo who does.
func lifetime(e eventlog.Event) bool {
	t, ok := e.(*eventlog.TimerSet)
	return ok && t.Undo
}

// remover is the event that removes what e sets.
func remover(e eventlog.Event) eventlog.Event {
	switch e := e.(type) {
	case *eventlog.RouterSet:
		return &eventlog.RouterRemoved{Router: e.Router}
	case *eventlog.LinkSet:
		return &eventlog.LinkRemoved{LinkID: e.LinkID}
	case *eventlog.KeyPut:
		return &eventlog.KeyDeleted{Key: e.Key}
	case *eventlog.GuardSet:
		return &eventlog.GuardRemoved{Name: e.Name}
	case *eventlog.FreezeSet:
		return &eventlog.FreezeRemoved{Name: e.Name}
	case *eventlog.RoleSet:
		return &eventlog.RoleRemoved{Actor: e.Actor}
	case *eventlog.TimerSet:
		return &eventlog.TimerCancelled{Name: e.Name}
	}
	return nil
}
