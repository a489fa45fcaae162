package robustness

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// CheckCalls holds the calls against the log.
func CheckCalls(calls []*Call, log []Entry, v *Violations) {
	k := &callCheck{log: log, v: v, byID: map[string]uint64{}, byValue: map[string]uint64{}}
	k.index()
	k.writes(calls)
	k.atomic(calls)
	k.order(calls)
	k.reads(calls)
	for _, c := range calls {
		if c.Outcome == Wrong {
			v.Addf("answer", "no state explains %s", c)
		}
	}
}

type callCheck struct {
	log     []Entry
	v       *Violations
	byID    map[string]uint64 // id of a commit by Actor → revision
	byValue map[string]uint64 // value → revision
}

// index finds ids and values in the log; each may be there once.
func (k *callCheck) index() {
	for i := range k.log {
		e := &k.log[i]
		if e.Actor != Actor {
			continue
		}
		if at, ok := k.byID[e.ID]; ok {
			k.v.Addf("once", "id %s is in the log twice, at %d and %d", e.ID, at, e.Revision)
		}
		k.byID[e.ID] = e.Revision
		for _, ev := range e.Events {
			value := ev.value()
			if value == "" {
				continue
			}
			if at, ok := k.byValue[value]; ok {
				k.v.Addf("once", "value %s is in the log twice, at %d and %d", value, at, e.Revision)
			}
			k.byValue[value] = e.Revision
		}
	}
}

// value is the unique value that the event carries; "": none.
func (e *event) value() string {
	switch e.Kind {
	case "route.announced":
		return strconv.FormatUint(e.Metric, 10)
	case "key.put":
		return e.Value
	}
	return ""
}

// writes holds each change, with all its attempts, against the log.
func (k *callCheck) writes(calls []*Call) {
	type change struct {
		attempts []*Call
		denied   bool // every attempt was
	}
	changes := map[string]*change{}
	asked := map[string]bool{} // ids and values that may be in the log
	for i, c := range calls {
		if !c.write() {
			continue
		}
		name := c.ID
		if name == "" {
			name = fmt.Sprintf("keyless %d", i)
		}
		asked["id "+c.ID] = true
		if c.Value != 0 {
			asked["value "+strconv.FormatUint(c.Value, 10)] = true
		}
		h := changes[name]
		if h == nil {
			h = &change{denied: true}
			changes[name] = h
		}
		h.attempts = append(h.attempts, c)
		h.denied = h.denied && (c.Outcome == Refused || c.Outcome == Failed)
	}
	for _, h := range changes {
		for _, c := range h.attempts {
			if c.Outcome == Done {
				k.stored(c)
			}
		}
		if h.denied {
			k.denied(h.attempts)
		}
	}
	keyless := slices.ContainsFunc(calls, func(c *Call) bool { return c.write() && c.ID == "" && c.Kind == Remove })
	for i := range k.log {
		e := &k.log[i]
		if e.Actor != Actor || asked["id "+e.ID] || keyless && len(e.Events) > 0 && e.Events[0].value() == "" {
			continue
		}
		for _, ev := range e.Events {
			if value := ev.value(); value != "" && !asked["value "+value] {
				k.v.Addf("asked", "revision %d (id %s, value %s) is what nobody asked for", e.Revision, e.ID, value)
			}
		}
	}
}

// stored checks that an acknowledged change is at its revision.
func (k *callCheck) stored(c *Call) {
	if c.Revision > uint64(len(k.log)) {
		k.v.Addf("never lost", "the log ends at %d before %s", len(k.log), c)
		return
	}
	e := &k.log[c.Revision-1]
	if c.Epoch != 0 && c.Epoch != e.Epoch {
		k.v.Addf("never lost", "revision %d is of epoch %d: %s", e.Revision, e.Epoch, c)
	}
	if c.noChange() && c.ID == "" {
		return // it has no commit: the revision is where the log stood
	}
	if e.Actor != Actor || c.ID != "" && e.ID != c.ID {
		k.v.Addf("never lost", "revision %d has id %s by %s instead of %s", e.Revision, e.ID, e.Actor, c)
		return
	}
	value := strconv.FormatUint(c.Value, 10)
	if c.Value != 0 && !slices.ContainsFunc(e.Events, func(ev event) bool {
		item, slot, ok := ev.item()
		return ok && item == c.Item && slot == c.Slot && ev.value() == value
	}) {
		k.v.Addf("never lost", "revision %d does not hold %s", e.Revision, c)
	}
	if c.Kind == Remove && !c.Absent && !slices.ContainsFunc(e.Events, func(ev event) bool {
		item, _, ok := ev.item()
		return ok && item == c.Item && ev.value() == ""
	}) {
		k.v.Addf("never lost", "revision %d does not hold %s", e.Revision, c)
	}
}

// denied checks that a change of which every attempt was refused is not in the log.
func (k *callCheck) denied(attempts []*Call) {
	c := attempts[0]
	if c.ID != "" {
		if at, ok := k.byID[c.ID]; ok {
			k.v.Addf("refused", "revision %d holds what was refused: %s", at, c)
			return
		}
	}
	if c.Value != 0 {
		if at, ok := k.byValue[strconv.FormatUint(c.Value, 10)]; ok {
			k.v.Addf("refused", "revision %d holds what was refused: %s", at, c)
		}
	}
}

// order checks that revisions keep to real time: what was acknowledged before a
// call began is before it in the log, and shown by it when it is a
// linearizable read. A repetition tells an old revision, and rightly so.
func (k *callCheck) order(calls []*Call) {
	var ends []*Call
	for _, c := range calls {
		if c.Outcome == Done && (c.write() || !c.Local && !c.Stale) {
			ends = append(ends, c)
		}
	}
	begins := slices.Clone(ends)
	slices.SortFunc(ends, func(a, b *Call) int { return int(a.End - b.End) })
	slices.SortFunc(begins, func(a, b *Call) int { return int(a.Begin - b.Begin) })
	var newest *Call
	first := map[string]time.Duration{} // when an id was asked first
	for _, c := range calls {
		if at, ok := first[c.ID]; !ok || c.Begin < at {
			first[c.ID] = c.Begin
		}
	}
	for _, c := range begins {
		for len(ends) > 0 && ends[0].End < c.Begin {
			if newest == nil || ends[0].Revision > newest.Revision {
				newest = ends[0]
			}
			ends = ends[1:]
		}
		switch {
		case newest == nil, c.write() && c.ID != "" && first[c.ID] < c.Begin:
		case c.Revision < newest.Revision, c.Revision == newest.Revision && c.write() && !c.noChange():
			k.v.Addf("real time", "%s is before what had ended: %s", c, newest)
		}
	}
}

// reads checks that every read, old or new, shows what the log says for its revision.
func (k *callCheck) reads(calls []*Call) {
	var reads []*Call
	for _, c := range calls {
		if c.Kind == Get && c.Outcome == Done {
			reads = append(reads, c)
		}
	}
	slices.SortFunc(reads, func(a, b *Call) int { return int(a.Revision) - int(b.Revision) })
	contents, versions := map[Item]string{}, map[Item]uint64{}
	at := 0
	for _, c := range reads {
		for at < len(k.log) && k.log[at].Revision <= c.Revision {
			e := &k.log[at]
			for item, content := range e.effect(contents) {
				contents[item], versions[item] = content, e.Revision
			}
			at++
		}
		if c.Revision > uint64(len(k.log)) {
			k.v.Addf("never lost", "the log ends at %d before %s", len(k.log), c)
			return
		}
		want := contents[c.Item]
		if c.Absent != (want == "") || c.Content != want || !c.Absent && c.Version != versions[c.Item] {
			k.v.Addf("reads", "the log at %d has {%s} version %d, not %s", c.Revision, want, versions[c.Item], c)
		}
	}
}
