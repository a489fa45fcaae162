package simulation

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"dvr/eventlog"
)

// Read reads a topology. A line is one of
//
//	link A B [cost N] [back N] [name NAME]
//	router R [drained soft|hard]
//	prefix P router R [metric N]
//
// or an event as GET /v1/topology and GET /v1/routes give them; what follows #
// is a comment.
func Read(r io.Reader) (*Topology, error) {
	t := &Topology{}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		if err := t.line(in.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(t.Routers) == 0 {
		return nil, fmt.Errorf("no router is named")
	}
	return t, nil
}

func (t *Topology) line(line string) error {
	if line = strings.TrimSpace(line); strings.HasPrefix(line, "{") {
		e, err := new(eventlog.Decoder).Event([]byte(line))
		if err != nil {
			return err
		}
		return t.event(e)
	}
	line, _, _ = strings.Cut(line, "#")
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	positional := map[string]int{"link": 2, "router": 1, "prefix": 1}
	n, known := positional[words[0]]
	if !known || len(words) < 1+n || (len(words)-1-n)%2 != 0 {
		return fmt.Errorf("%q: a line is link A B […], router R […] or prefix P router R […]", line)
	}
	more := map[string]string{}
	for i := 1 + n; i < len(words); i += 2 {
		more[words[i]] = words[i+1]
	}
	take := func(name, otherwise string) string {
		v, ok := more[name]
		if !ok {
			return otherwise
		}
		delete(more, name)
		return v
	}
	var e eventlog.Event
	switch words[0] {
	case "link":
		cost, err1 := strconv.ParseUint(take("cost", "1"), 10, 32)
		back, err2 := strconv.ParseUint(take("back", strconv.FormatUint(cost, 10)), 10, 32)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("%q: a cost is a number", line)
		}
		l := &eventlog.LinkSet{CostAB: uint32(cost), CostBA: uint32(back)}
		l.A, l.B, l.Name = eventlog.RouterID(words[1]), eventlog.RouterID(words[2]), take("name", "")
		if l.A > l.B {
			l.A, l.B, l.CostAB, l.CostBA = l.B, l.A, l.CostBA, l.CostAB
		}
		e = l
	case "router":
		e = &eventlog.RouterSet{Router: eventlog.RouterID(words[1]), Drained: eventlog.Drain(take("drained", ""))}
	case "prefix":
		p, err := netip.ParsePrefix(words[1])
		if err != nil {
			return err
		}
		metric, err := strconv.ParseUint(take("metric", "0"), 10, 32)
		if err != nil {
			return fmt.Errorf("%q: a metric is a number", line)
		}
		r := ownRoute(eventlog.RouterID(take("router", "")), 0)
		r.Destination, r.Metric = p, uint32(metric)
		e = r
	}
	for name := range more {
		return fmt.Errorf("%q: %s is not known here", line, name)
	}
	return t.event(e)
}

func (t *Topology) event(e eventlog.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	switch e := e.(type) {
	case *eventlog.LinkSet:
		t.router(e.A)
		t.router(e.B)
		t.connect(e)
	case *eventlog.RouterSet:
		t.router(e.Router)
		t.Drained = append(t.Drained, e)
	case *eventlog.RouteAnnounced:
		if e.Router != eventlog.AllRouters {
			t.router(e.Router)
		}
		t.Routes = append(t.Routes, e)
	default:
		return fmt.Errorf("a %s is no part of a topology", e.Kind())
	}
	return nil
}
