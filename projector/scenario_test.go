package projector

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

// Scenarios are files that a network engineer can read and write: a line
// changes something (each line one commit) or asks something; the answer
// follows, indented.
//
//	route  PREFIX [via ADDRESS] [dev IF] [router R] [metric N] [preference N] [weight N]
//	       [type T] [origin O] [recursive] [via-default] [tag T] [vrf V]
//	withdraw PREFIX …           the identity members of route
//	link A B [cost N] [back N] [name N] [address A B] [dev A B, - for none] [down]      (A < B)
//	unlink A B [name N]
//	seen A B STATE by R [name N]
//	router R [soft|hard]        declared, drained
//	remove R
//	put KEY VALUE · forget KEY
//	event JSON                  any event, as in the log
//	rib R · fib R · lookup R ADDRESS · explain R PREFIX · delta R · digest
//	try R EVENT                 what of it protected prefixes forbid, at R; it is not done
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenario-*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// player runs a scenario.
type player struct {
	t    *testing.T
	fold *Fold
	sent map[eventlog.RouterID]*FIB
	out  strings.Builder
}

func play(t *testing.T, script string) string {
	p := &player{t: t, fold: NewFold("log"), sent: map[eventlog.RouterID]*FIB{}}
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue // an answer
		}
		p.out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		p.line(line)
	}
	// However the scenario went, the state survives its snapshot.
	b := saved(t, p.fold.State())
	again, err := Load(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(b), string(saved(t, again.State()))); diff != "" {
		t.Fatal(diff)
	}
	return p.out.String()
}

func (p *player) say(format string, args ...any) {
	fmt.Fprintf(&p.out, "    "+format+"\n", args...)
}

func (p *player) line(line string) {
	w := &wordList{t: p.t, line: line, words: strings.Fields(line)}
	r := eventlog.RouterID("")
	s := p.fold.State()
	switch verb := w.next(); verb {
	case "rib":
		r = eventlog.RouterID(w.next())
		n := 0
		for d := range s.Vector(r, netip.Prefix{}) {
			p.say("%-18s %s", d.Prefix, decisionText(d))
			n++
		}
		if n == 0 {
			p.say("nothing")
		}
	case "fib":
		f := s.FIB(eventlog.RouterID(w.next()), nil)
		for k, g := range f.groups.All() {
			a := f.state.classes.Ptr(k)
			p.say("%s %d prefixes: %s", classText(ClassID(k)), a.n4+a.n6, nextHopsText((*g).hops))
		}
		n4, n6 := f.Len()
		p.say("%d IPv4, %d IPv6, digest %s", n4, n6, f.Digest())
	case "lookup":
		r = eventlog.RouterID(w.next())
		if d, ok := s.Lookup(r, netip.MustParseAddr(w.next())); ok {
			p.say("%s %s", d.Prefix, decisionText(d))
		} else {
			p.say("no match")
		}
	case "explain":
		r = eventlog.RouterID(w.next())
		for _, j := range s.Explain(r, netip.MustParsePrefix(w.next())) {
			mark := " "
			if j.Chosen {
				mark = "*"
			}
			p.say("%s %s %s", mark, candidateText(&j.RouteAnnounced), j.Why)
		}
	case "delta":
		r = eventlog.RouterID(w.next())
		f := s.FIB(r, p.sent[r])
		p.deltaText(f.Delta(p.sent[r]))
		p.sent[r] = f
	case "try":
		r = eventlog.RouterID(w.next())
		after, err := s.Try(&eventlog.Commit{Time: 1_800_000_000_000, Actor: "alice", Events: []eventlog.Event{w.event(w.next())}})
		if err != nil {
			p.t.Fatal(err)
		}
		before := s.FIB(r, nil)
		breaches := s.Policy().Strands(before, after.FIB(r, before))
		for _, b := range breaches {
			p.say("%s: %s", b.Name, b.Text)
		}
		if len(breaches) == 0 {
			p.say("nothing")
		}
	case "digest":
		p.say("level %d revision %d: state %s", s.Head().Level, s.Position().Revision, s.Digest())
		for r := range s.Routers() {
			p.say("%s: %s", r.Router, s.FIB(r.Router, nil).Digest())
		}
	default:
		e := w.event(verb)
		if err := e.Validate(); err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
		rev := s.Position().Revision + 1
		mustApply(p.t, p.fold, &eventlog.Commit{Revision: rev, Time: 1_800_000_000_000 + int64(rev), Actor: "alice", ID: strconv.Itoa(int(rev)), Events: []eventlog.Event{e}})
		return
	}
	w.end()
}

func decisionText(d Decision) string {
	text := fmt.Sprintf("metric %d", d.Metric)
	if d.Preference != 1 {
		text += fmt.Sprintf(" preference %d", d.Preference)
	}
	return fmt.Sprintf("%s from %v: %s", text, d.Origins, nextHopsText(d.NextHops))
}

func nextHopsText(hops []NextHop) string {
	var parts []string
	for _, h := range hops {
		var words []string
		if h.Type != eventlog.Unicast {
			words = append(words, h.Type.String())
		}
		if h.Address.IsValid() {
			words = append(words, h.Address.String())
		}
		if h.Interface != "" {
			words = append(words, "dev "+h.Interface)
		}
		if h.Via != "" {
			words = append(words, "through "+string(h.Via))
		}
		if h.Weight != 1 {
			words = append(words, fmt.Sprintf("weight %d", h.Weight))
		}
		parts = append(parts, strings.Join(words, " "))
	}
	return strings.Join(parts, ", ")
}

func candidateText(r *eventlog.RouteAnnounced) string {
	text := "router " + string(r.Router)
	if r.Type != eventlog.Unicast {
		text += " " + r.Type.String()
	}
	if r.NextHop.IsValid() {
		text += " via " + r.NextHop.String()
	}
	if r.Interface != "" {
		text += " dev " + r.Interface
	}
	if r.Origin != eventlog.DefaultOrigin {
		text += " origin " + r.Origin
	}
	return text + ":"
}

func (p *player) deltaText(d *Delta) {
	if d.Empty() {
		p.say("%d..%d empty", d.From.Revision, d.To.Revision)
		return
	}
	kind := "incremental"
	if d.Full {
		kind = "full"
	}
	p.say("%d..%d %s", d.From.Revision, d.To.Revision, kind)
	for _, c := range d.Classes {
		hops := "as before"
		if c.NextHops != nil {
			hops = nextHopsText(c.NextHops)
		}
		p.say("class %s: %s", classText(c.ID), hops)
	}
	for block := range d.Sets() {
		prefixes(block, func(at netip.Prefix, class int) { p.say("set %s %s", at, classText(d.Classes[class].ID)) })
	}
	prefixes(&d.Removed, func(at netip.Prefix, _ int) { p.say("remove %s", at) })
	for _, id := range d.Withdrawn {
		p.say("withdraw class %s", classText(id))
	}
}

// wordList reads a line word by word.
type wordList struct {
	t     *testing.T
	line  string
	words []string
}

func (w *wordList) next() string {
	if len(w.words) == 0 {
		w.t.Fatalf("%q ends too early", w.line)
	}
	x := w.words[0]
	w.words = w.words[1:]
	return x
}

func (w *wordList) end() {
	if len(w.words) > 0 {
		w.t.Fatalf("%q: what is %q?", w.line, w.words[0])
	}
}

func (w *wordList) number() uint64 {
	n, err := strconv.ParseUint(w.next(), 10, 32)
	if err != nil {
		w.t.Fatalf("%q: %v", w.line, err)
	}
	return n
}

func (w *wordList) addr() netip.Addr { return netip.MustParseAddr(w.next()) }

func (w *wordList) event(verb string) eventlog.Event {
	switch verb {
	case "route":
		return w.route()
	case "withdraw":
		return &eventlog.RouteWithdrawn{RouteID: w.route().RouteID}
	case "link":
		return w.link()
	case "unlink":
		return &eventlog.LinkRemoved{LinkID: w.link().LinkID}
	case "seen":
		e := &eventlog.LinkObserved{LinkID: eventlog.LinkID{A: eventlog.RouterID(w.next()), B: eventlog.RouterID(w.next())}, State: eventlog.ObservedState(w.next())}
		for len(w.words) > 0 {
			switch x := w.next(); x {
			case "by":
				e.Router = eventlog.RouterID(w.next())
			case "name":
				e.Name = w.next()
			default:
				w.t.Fatalf("%q: what is %q?", w.line, x)
			}
		}
		return e
	case "router":
		e := &eventlog.RouterSet{Router: eventlog.RouterID(w.next())}
		if len(w.words) > 0 {
			e.Drained = eventlog.Drain(w.next())
		}
		return e
	case "remove":
		return &eventlog.RouterRemoved{Router: eventlog.RouterID(w.next())}
	case "put":
		return &eventlog.KeyPut{Key: w.next(), Value: w.next()}
	case "forget":
		return &eventlog.KeyDeleted{Key: w.next()}
	case "event":
		e, err := eventlog.DecodeEvent([]byte(strings.TrimPrefix(w.line, "event ")))
		if err != nil {
			w.t.Fatalf("%q: %v", w.line, err)
		}
		return e
	}
	w.t.Fatalf("%q: what is %q?", w.line, verb)
	return nil
}

func (w *wordList) route() *eventlog.RouteAnnounced {
	r := &eventlog.RouteAnnounced{Preference: 1, Weight: 1}
	r.Router, r.Origin, r.Destination = eventlog.AllRouters, eventlog.DefaultOrigin, netip.MustParsePrefix(w.next())
	for len(w.words) > 0 {
		switch x := w.next(); x {
		case "via":
			r.NextHop = w.addr()
		case "dev":
			r.Interface = w.next()
		case "router":
			r.Router = eventlog.RouterID(w.next())
		case "metric":
			r.Metric = uint32(w.number())
		case "preference":
			r.Preference = uint8(w.number())
		case "weight":
			r.Weight = uint16(w.number())
		case "origin":
			r.Origin = w.next()
		case "vrf":
			r.VRF = w.next()
		case "tag":
			r.Tags = append(r.Tags, w.next())
		case "recursive":
			r.Recursive = true
		case "via-default":
			r.ViaDefault = true
		case "type":
			if err := r.Type.Parse(w.next()); err != nil {
				w.t.Fatalf("%q: %v", w.line, err)
			}
		default:
			w.t.Fatalf("%q: what is %q?", w.line, x)
		}
	}
	return r
}

func (w *wordList) link() *eventlog.LinkSet {
	l := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: eventlog.RouterID(w.next()), B: eventlog.RouterID(w.next())}, CostAB: 1, CostBA: 1}
	for len(w.words) > 0 {
		switch x := w.next(); x {
		case "cost":
			l.CostAB = uint32(w.number())
			l.CostBA = l.CostAB
		case "back":
			l.CostBA = uint32(w.number())
		case "name":
			l.Name = w.next()
		case "address":
			l.AddressA, l.AddressB = append(l.AddressA, w.addr()), append(l.AddressB, w.addr())
		case "dev":
			l.InterfaceA, l.InterfaceB = w.next(), w.next()
			for _, i := range []*string{&l.InterfaceA, &l.InterfaceB} {
				if *i == "-" {
					*i = ""
				}
			}
		case "down":
			l.Down = true
		default:
			w.t.Fatalf("%q: what is %q?", w.line, x)
		}
	}
	return l
}

func classText(id ClassID) string { return fmt.Sprintf("%x", id[:4]) }
