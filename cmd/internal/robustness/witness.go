package robustness

import "strconv"

// Witnessed gives the calls with what the log tells of those that had no answer:
// at which revision they took effect, or that they never did. It takes the log at
// its word; whether that is right the calls with answers and the reads show, to
// which it must fit. Without it a dozen lost answers about one item can be put
// among the others in more ways than can be tried. What the log leaves open (a
// removal without an id) stays unknown. Cost: O(calls + events).
func Witnessed(calls []*Call, log []Entry) []*Call {
	w := witness{byID: map[string]*Entry{}, byValue: map[told][]*Entry{}, asked: map[told]int{}}
	for i := range log {
		e := &log[i]
		if e.ID != "" {
			w.byID[e.Actor+"\n"+e.ID] = e
		}
		for k := range e.Events {
			if t, ok := toldBy(&e.Events[k]); ok {
				w.byValue[t] = append(w.byValue[t], e)
			}
		}
	}
	for _, c := range calls {
		if c.Value != 0 {
			w.asked[told{c.Item, c.Value}]++
		}
	}
	out := make([]*Call, len(calls))
	for i, c := range calls {
		out[i] = c
		if c.write() && c.Outcome == Unknown {
			out[i] = w.settle(c)
		}
	}
	return out
}

type witness struct {
	byID    map[string]*Entry
	byValue map[told][]*Entry
	asked   map[told]int // calls for a value
}

// told is a value of an item.
type told struct {
	Item
	value uint64
}

func itemOf(e *event) Item {
	if e.Destination != "" {
		return Item{Routes, e.Destination}
	}
	return Item{Keys, e.Key}
}

// toldBy is what an event set; false: it set nothing.
func toldBy(e *event) (told, bool) {
	v := e.Metric
	if e.Destination == "" {
		v, _ = strconv.ParseUint(e.Value, 10, 64) // the suite's values are numbers
	}
	return told{itemOf(e), v}, v != 0
}

// settle gives c with its outcome, or as it is.
func (w *witness) settle(c *Call) *Call {
	var e *Entry
	switch t := (told{c.Item, c.Value}); {
	case c.ID != "":
		e = w.byID[Actor+"\n"+c.ID]
	case c.Value == 0 || w.asked[t] > 1 || len(w.byValue[t]) > 1:
		return c
	case len(w.byValue[t]) == 1:
		e = w.byValue[t][0]
	}
	s := *c
	if e == nil {
		s.Outcome = Refused
		return &s
	}
	for i := range e.Events {
		if itemOf(&e.Events[i]) == c.Item {
			s.Outcome, s.Unanswered, s.Revision = Done, true, e.Revision
			return &s
		}
	}
	return c
}
