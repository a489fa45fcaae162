package service

import (
	"fmt"
	"net/netip"
	"strings"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// Operation is a change whose events depend on the state that it meets. It is
// plain data, so that the node that appends judges it, whichever that is: its
// JSON form travels between nodes, and every type is in operations.
type Operation interface {
	// Kind names the type between nodes.
	Kind() string
	// Decide gives the events for the state that the commit applies to. It runs
	// on the appender's goroutine: it must be quick, keep nothing and change
	// nothing. Errors are this package's sentinels and *eventlog.FieldError.
	Decide(*projector.State) ([]eventlog.Event, error)
}

// operations makes an empty Operation of each kind.
var operations = map[string]func() Operation{
	"destination.put":     func() Operation { return new(putDestination) },
	"destination.replace": func() Operation { return new(replaceDestination) },
	"destination.delete":  func() Operation { return new(deleteDestination) },
	"router.put":          func() Operation { return new(putRouter) },
	"router.remove":       func() Operation { return new(removeRouter) },
	"link.put":            func() Operation { return new(putLink) },
	"link.remove":         func() Operation { return new(removeLink) },
	"router.drain":        func() Operation { return new(setDrain) },
	"link.state":          func() Operation { return new(setLinkState) },
	"key.put":             func() Operation { return new(putKey) },
	"key.delete":          func() Operation { return new(deleteKey) },
	"commit.confirm":      func() Operation { return new(confirmCommit) },
	"item.remove":         func() Operation { return new(removeItem) },
	"computed":            func() Operation { return new(computed) },
	"proposal.approve":    func() Operation { return new(approveProposal) },
	"token.use":           func() Operation { return new(useToken) },
	"token.end":           func() Operation { return new(endTokens) },
}

// timed holds another operation, so it is added when the table is there.
func init() { operations["timed"] = func() Operation { return new(timed) } }

// demand is what a mutation's preconditions say.
type demand struct {
	IfMatch     Precondition `json:"if_match,omitzero"`
	IfNoneMatch Precondition `json:"if_none_match,omitzero"`
}

func (m *Mutation) demand() demand { return demand{m.IfMatch, m.IfNoneMatch} }

// hold checks both preconditions against the item as it is.
func (d *demand) hold(exists bool, t Tag) error {
	if d.IfMatch.Set() && !d.IfMatch.matches(exists, t) {
		return ErrPrecondition
	}
	if d.IfNoneMatch.Set() && d.IfNoneMatch.matches(exists, t) {
		return ErrPrecondition
	}
	return nil
}

// putDestination sets one candidate; the demand is about its destination.
type putDestination struct {
	demand
	Route eventOf[*eventlog.RouteAnnounced] `json:"route"`
}

func (o *putDestination) Kind() string { return "destination.put" }

func (o *putDestination) Decide(st *projector.State) ([]eventlog.Event, error) {
	d, ok := st.Destination(o.Route.Event.Destination)
	if err := o.hold(ok, tagOf(st, d.Revision)); err != nil {
		return nil, err
	}
	return []eventlog.Event{o.Route.Event}, resolvesOnlyItself(st, o.Route.Event)
}

// replaceDestination makes the routes the router's only candidates.
type replaceDestination struct {
	demand
	Router      eventlog.RouterID                   `json:"router"`
	Destination netip.Prefix                        `json:"destination"`
	Routes      []eventOf[*eventlog.RouteAnnounced] `json:"routes"`
}

func (o *replaceDestination) Kind() string { return "destination.replace" }

func (o *replaceDestination) Decide(st *projector.State) ([]eventlog.Event, error) {
	d, ok := st.Destination(o.Destination)
	if err := o.hold(ok, tagOf(st, d.Revision)); err != nil {
		return nil, err
	}
	wanted := make(map[eventlog.RouteID]*eventlog.RouteAnnounced, len(o.Routes))
	for i, r := range o.Routes {
		if err := resolvesOnlyItself(st, r.Event); err != nil {
			return nil, prefixField(err, fmt.Sprintf("candidates[%d].", i))
		}
		wanted[r.Event.RouteID] = r.Event
	}
	events := make([]eventlog.Event, 0, len(o.Routes)+len(d.Candidates))
	same := make(map[eventlog.RouteID]bool)
	for i := range d.Candidates {
		c := &d.Candidates[i]
		if c.Router != o.Router {
			continue
		}
		switch w := wanted[c.RouteID]; {
		case w == nil:
			events = append(events, &eventlog.RouteWithdrawn{RouteID: c.RouteID})
		case equalAttributes(w, &c.RouteAnnounced):
			same[c.RouteID] = true
		}
	}
	for _, r := range o.Routes {
		if !same[r.Event.RouteID] {
			events = append(events, r.Event)
		}
	}
	if len(events) > eventlog.MaxCommitEvents {
		return nil, ErrTooLarge
	}
	return events, nil
}

// deleteDestination withdraws the candidates that the filter admits.
type deleteDestination struct {
	demand
	Destination netip.Prefix `json:"destination"`
	Filter      RouteFilter  `json:"filter"`
	// Subscribed: a data plane subscribes as the filter's router, so that it is
	// known though the state does not name it.
	Subscribed bool `json:"subscribed,omitempty"`
}

func (o *deleteDestination) Kind() string { return "destination.delete" }

func (o *deleteDestination) Decide(st *projector.State) ([]eventlog.Event, error) {
	if r := o.Filter.Router; r != "" && r != eventlog.AllRouters && !o.Subscribed {
		if _, ok := st.Router(r); !ok {
			return nil, unknownRouter(r)
		}
	}
	d, ok := st.Destination(o.Destination)
	if err := o.hold(ok, tagOf(st, d.Revision)); err != nil {
		return nil, err
	}
	var events []eventlog.Event
	for i := range d.Candidates {
		if c := &d.Candidates[i]; o.Filter.admits(&c.RouteAnnounced) {
			events = append(events, &eventlog.RouteWithdrawn{RouteID: c.RouteID})
		}
	}
	if len(events) == 0 && len(d.Candidates) > 0 {
		return nil, fmt.Errorf("route %s has no such candidate, but %s: %w", o.Destination, candidateNames(d.Candidates), ErrNotFound)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("route %s: %w", o.Destination, ErrNotFound)
	}
	if len(events) > eventlog.MaxCommitEvents {
		return nil, fmt.Errorf("%d candidates: %w: narrow it by next_hop or router", len(events), ErrTooLarge)
	}
	return events, nil
}

// candidateNames tells a few candidates apart, in canonical order.
func candidateNames(candidates []projector.Candidate) string {
	const most = 3
	var names []string
	for i := range candidates[:min(len(candidates), most)] {
		c := &candidates[i]
		name := c.Type.String()
		if c.NextHop.IsValid() {
			name = "next hop " + c.NextHop.String()
		}
		if c.Router != eventlog.AllRouters {
			name += " of router " + string(c.Router)
		}
		names = append(names, name)
	}
	if more := len(candidates) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// putRouter declares a router.
type putRouter struct {
	demand
	Router eventOf[*eventlog.RouterSet] `json:"router"`
}

func (o *putRouter) Kind() string { return "router.put" }

func (o *putRouter) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Router(o.Router.Event.Router)
	return []eventlog.Event{o.Router.Event}, o.hold(ok && was.Declared, tagOf(st, was.Revision))
}

// removeRouter removes a router's declaration.
type removeRouter struct {
	demand
	Router eventlog.RouterID `json:"router"`
}

func (o *removeRouter) Kind() string { return "router.remove" }

func (o *removeRouter) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Router(o.Router)
	ok = ok && was.Declared
	if err := o.hold(ok, tagOf(st, was.Revision)); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("router %s: %w", o.Router, ErrNotFound)
	}
	if refs := st.References(o.Router); refs.Any() {
		return nil, fmt.Errorf("router %s is still referred to by %s: %w", o.Router, appender.Referring(st, o.Router, &refs), ErrReferred)
	}
	return []eventlog.Event{&eventlog.RouterRemoved{Router: o.Router}}, nil
}

// putLink declares a link.
type putLink struct {
	demand
	Link eventOf[*eventlog.LinkSet] `json:"link"`
}

func (o *putLink) Kind() string { return "link.put" }

func (o *putLink) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Link(o.Link.Event.LinkID)
	return []eventlog.Event{o.Link.Event}, o.hold(ok, tagOf(st, was.Revision))
}

// removeLink removes a link.
type removeLink struct {
	demand
	Link eventlog.LinkID `json:"link"`
}

func (o *removeLink) Kind() string { return "link.remove" }

func (o *removeLink) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Link(o.Link)
	if err := o.hold(ok, tagOf(st, was.Revision)); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("link %s-%s: %w", o.Link.A, o.Link.B, ErrNotFound)
	}
	return []eventlog.Event{&eventlog.LinkRemoved{LinkID: o.Link}}, nil
}

// putKey sets a key.
type putKey struct {
	demand
	Key eventOf[*eventlog.KeyPut] `json:"key"`
}

func (o *putKey) Kind() string { return "key.put" }

func (o *putKey) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Key(o.Key.Event.Key)
	return []eventlog.Event{o.Key.Event}, o.hold(ok, tagOf(st, was.Revision))
}

// deleteKey removes a key; one that is absent stays so, and that is no error.
type deleteKey struct {
	demand
	Key string `json:"key"`
}

func (o *deleteKey) Kind() string { return "key.delete" }

func (o *deleteKey) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Key(o.Key)
	if err := o.hold(ok, tagOf(st, was.Revision)); err != nil || !ok {
		return nil, err
	}
	return []eventlog.Event{&eventlog.KeyDeleted{Key: o.Key}}, nil
}

// eventOf is an event of one type in its stored form.
type eventOf[E eventlog.Event] struct{ Event E }

func (e eventOf[E]) MarshalJSON() ([]byte, error) { return eventlog.AppendEvent(nil, e.Event), nil }

func (e *eventOf[E]) UnmarshalJSON(raw []byte) error {
	got, err := new(eventlog.Decoder).Event(raw)
	if err != nil {
		return err
	}
	var ok bool
	if e.Event, ok = got.(E); !ok {
		return fmt.Errorf("a %s where a %s belongs", got.Kind(), e.Event.Kind())
	}
	return nil
}
