package projector

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

// layers is the slow model of an item that pending commits change: what lies
// under all of them, and what each of them made of it. Nobody covers what a
// commit that pends no longer, or never did, changed: it becomes the base.
type layers struct {
	base string
	over []coat // the newest last
}

type coat struct {
	owner eventlog.Revision
	value string
}

func (l *layers) value() string {
	if n := len(l.over); n > 0 {
		return l.over[n-1].value
	}
	return l.base
}

// change is by a commit that does not pend.
func (l *layers) change(value string) { l.base, l.over = value, nil }

// give takes the layer of a commit away, which is undone.
func (l *layers) give(owner eventlog.Revision) {
	l.over = slices.DeleteFunc(l.over, func(x coat) bool { return x.owner == owner })
}

// stay makes the layer of a commit the base.
func (l *layers) stay(owner eventlog.Revision) {
	if i := slices.IndexFunc(l.over, func(x coat) bool { return x.owner == owner }); i >= 0 {
		l.base, l.over = l.over[i].value, slices.Clone(l.over[i+1:])
	}
}

// heldItems are what the tests of undoing change: of each kind that is given
// back one or two, each with ways to set it and the way to remove it.
func heldItems() (set [][]eventlog.Event, remove []eventlog.Event) {
	for _, p := range []string{"10.0.0.0/8", "11.0.0.0/8"} {
		var ways []eventlog.Event
		for metric := range uint32(3) {
			ways = append(ways, announcing(p, "192.0.2.1", func(r *eventlog.RouteAnnounced) { r.Metric = metric }))
		}
		set = append(set, ways)
	}
	link := eventlog.LinkID{A: "a", B: "b"}
	set = append(set,
		[]eventlog.Event{&eventlog.LinkSet{LinkID: link, CostAB: 1, CostBA: 1}, &eventlog.LinkSet{LinkID: link, CostAB: 1, CostBA: 1, Down: true}, &eventlog.LinkSet{LinkID: link, CostAB: 7, CostBA: 1}},
		[]eventlog.Event{&eventlog.RouterSet{Router: "a"}, &eventlog.RouterSet{Router: "a", Drained: eventlog.DrainSoft}, &eventlog.RouterSet{Router: "a", Description: "x"}},
		[]eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "1"}, &eventlog.KeyPut{Key: "k", Value: "2"}, &eventlog.KeyPut{Key: "k", Value: "3"}},
		[]eventlog.Event{&eventlog.GuardSet{Name: "g", Type: eventlog.GuardMaxRoutes, Limit: 5}, &eventlog.GuardSet{Name: "g", Type: eventlog.GuardMaxRoutes, Limit: 6},
			&eventlog.GuardSet{Name: "g", Type: eventlog.GuardProtected, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		[]eventlog.Event{&eventlog.FreezeSet{Name: "f"}, &eventlog.FreezeSet{Name: "f", Routers: []eventlog.RouterID{"a"}}, &eventlog.FreezeSet{Name: "f", From: 5}},
	)
	for _, ways := range set {
		remove = append(remove, Removal(ways[0]))
	}
	return set, remove
}

// TestWhatPendsIsUndoneExactly: commits with a confirmation, a lifetime, both or
// neither change, remove and set again routes, links, routers, keys, guards and
// freezes, over each other, and end in any order: undone, confirmed, at their
// time, cancelled, failed. After every commit each item is what the model says,
// whatever snapshot, overlay or rewinding lies between.
func TestWhatPendsIsUndoneExactly(t *testing.T) {
	set, remove := heldItems()
	rapid.Check(t, func(t *rapid.T) {
		f := NewFold("log")
		items := make([]layers, len(set))
		type pending struct {
			rev     eventlog.Revision
			confirm bool
			timer   string
		}
		var open []*pending
		apply := func(events ...eventlog.Event) eventlog.Revision {
			r := f.State().Position().Revision + 1
			over := f.State().Overlay()
			mustApplyRapid(t, over, commit(r, events...))
			mustApplyRapid(t, f, commit(r, events...))
			a, b := over.State(), f.State()
			for _, d := range a.Agenda() {
				if one, ok := a.Confirmation(d.Revision); ok {
					other, _ := b.Confirmation(d.Revision)
					x, _ := a.Undo(&one)
					y, _ := b.Undo(&other)
					if fmt.Sprint(texts(x)) != fmt.Sprint(texts(y)) {
						t.Fatalf("an overlay would undo %q, not %q", texts(x), texts(y))
					}
				}
			}
			return r
		}
		for range rapid.IntRange(1, 14).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what >= 3 && len(open) > 0:
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				p := open[i]
				s := f.State()
				timer, running := s.Timer(p.timer)
				ends := 0
				switch end := rapid.IntRange(0, 2).Draw(t, "end"); {
				case p.confirm && end == 0:
					apply(&eventlog.ConfirmationConfirmed{Revision: p.rev})
					p.confirm = false
				case p.confirm && (end == 1 || !running):
					c, _ := s.Confirmation(p.rev)
					events, _ := s.Undo(&c)
					apply(append(events, &eventlog.ConfirmationUndone{Revision: p.rev})...)
					if _, still := f.State().Timer(p.timer); still && running {
						t.Fatal("undone, and its lifetime goes on")
					}
					p.confirm, ends, running = false, 1, false
				case running && end == 1:
					apply([]eventlog.Event{&eventlog.TimerCancelled{Name: p.timer}, &eventlog.TimerFailed{Name: p.timer, Cause: "x"}}[rapid.IntRange(0, 1).Draw(t, "how")])
					running = false
				case running:
					events, _ := s.Lapsed(&timer)
					apply(append(events, &eventlog.TimerFired{Name: p.timer})...)
					ends, running = 1, false
				}
				if !running {
					p.timer = ""
				}
				for j := range items {
					switch {
					case ends == 1:
						items[j].give(p.rev)
					case !p.confirm && p.timer == "":
						items[j].stay(p.rev)
					}
				}
				if !p.confirm && p.timer == "" {
					open = slices.Delete(open, i, i+1)
				}
			default:
				p := &pending{confirm: what == 1 || what == 3}
				if what == 2 || what == 3 {
					p.timer = fmt.Sprint("until-", f.State().Position().Revision)
				}
				var events []eventlog.Event
				var changed []int
				for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(set)-1), 1, 3, rapid.ID).Draw(t, "items") {
					changed = append(changed, j)
					if w := rapid.IntRange(0, len(set[j])).Draw(t, "way"); w < len(set[j]) {
						events = append(events, set[j][w])
					} else {
						events = append(events, remove[j])
					}
				}
				all := slices.Clone(events)
				if p.timer != "" {
					all = append(all, &eventlog.TimerSet{Name: p.timer, At: 1_900_000_000_000, Undo: true})
				}
				if p.confirm {
					all = append(all, &eventlog.ConfirmationOpened{Deadline: 1_800_000_000_000})
				}
				p.rev = apply(all...)
				for i, j := range changed {
					value := text(events[i])
					if Removes(events[i]) {
						value = ""
					}
					if p.confirm || p.timer != "" {
						if value != "" || items[j].value() != "" {
							items[j].over = append(items[j].over, coat{p.rev, value})
							continue
						}
					}
					items[j].change(value)
				}
				if p.confirm || p.timer != "" {
					open = append(open, p)
				}
			}
			between := rapid.IntRange(0, 2).Draw(t, "between")
			switch between {
			case 1:
				f = reloaded(t, f.State())
			case 2:
				f = Revisit(f.State())
			}
			s := f.State()
			for j := range items {
				got := s.Item(remove[j]).Event
				if want := items[j].value(); got == nil && want != "" || got != nil && text(got) != want {
					t.Fatalf("item %d is %s, want %q", j, text(got), want)
				}
			}
			if len(open) == 0 && s.held.Len() > 0 {
				t.Fatalf("nothing pends, and %d items are held", s.held.Len())
			}
			if between == 2 {
				continue // one that looks at the past has no window to save
			}
			if a, b := stateBytes(t, s), stateBytes(t, reloaded(t, s).State()); string(a) != string(b) {
				t.Fatalf("saved\n%s\nthen\n%s", a, b)
			}
		}
	})
}

func texts(events []eventlog.Event) (out []string) {
	for _, e := range events {
		out = append(out, text(e))
	}
	return out
}

// TestWatchSeesEveryChange: a timer whose events are to meet their items unchanged
// learns of everything that happened to them, what was set and removed again, too.
func TestWatchSeesEveryChange(t *testing.T) {
	route := announcing("10.0.0.0/8", "192.0.2.1")
	other := announcing("10.0.0.0/8", "192.0.2.1", func(r *eventlog.RouteAnnounced) { r.Metric = 7 })
	gone := &eventlog.RouteWithdrawn{RouteID: route.RouteID}
	timer := &eventlog.TimerSet{Name: "at-1", At: 1_900_000_000_000, Unchanged: true, Events: []eventlog.Event{route, &eventlog.KeyPut{Key: "k", Value: "v"}}}
	for name, x := range map[string]struct {
		between []eventlog.Event
		changed string
	}{
		"nothing":               {nil, ""},
		"something else":        {[]eventlog.Event{&eventlog.KeyPut{Key: "l", Value: "v"}}, ""},
		"announced otherwise":   {[]eventlog.Event{other}, "route.announced"},
		"announced, withdrawn":  {[]eventlog.Event{other, gone}, "route.announced"},
		"done by somebody else": {[]eventlog.Event{other, route}, ""},
		"withdrawn once more":   {[]eventlog.Event{gone}, "route.announced"},
		"the key":               {[]eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "w"}}, "key.put"},
		"the key, then removed": {[]eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "w"}, &eventlog.KeyDeleted{Key: "k"}}, "key.put"},
	} {
		for _, how := range []string{"plain", "snapshots", "overlays"} {
			f := NewFold("log")
			mustApply(t, f, commit(1, route))
			mustApply(t, f, commit(2, gone, timer))
			for i, e := range append(x.between, &eventlog.KeyPut{Key: "z", Value: "end"}) {
				mustApply(t, f, commit(eventlog.Revision(3+i), e))
				switch how {
				case "snapshots":
					again, err := Load(bytes.NewReader(saved(t, f.State())))
					if err != nil {
						t.Fatal(err)
					}
					f = again
				case "overlays":
					f = f.State().Overlay()
				}
			}
			s := f.State()
			at, ok := s.Timer("at-1")
			if !ok {
				t.Fatal("no timer")
			}
			var got []string
			for _, e := range s.Disturbed(&at) {
				got = append(got, string(e.Kind()))
			}
			if strings.Join(got, ",") != x.changed {
				t.Errorf("%s, %s: changed %v, want %s", name, how, got, x.changed)
			}
			mustApply(t, f, commit(s.Position().Revision+1, &eventlog.TimerFailed{Name: "at-1", Cause: "x"}))
			if n := f.State().held.Len(); n != 0 {
				t.Errorf("%s, %s: %d items are held", name, how, n)
			}
		}
	}
}
