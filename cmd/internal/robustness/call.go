package robustness

import (
	"fmt"
	"time"
)

// Kind is what a call asks for.
type Kind uint8

// The kinds. A slot is a next hop of a destination; a key has the one slot "".
const (
	Set     Kind = iota // set one slot: POST /routes, PUT /kv/k
	Replace             // make one slot the only one: PUT /routes/d
	Remove              // remove all slots: DELETE
	Get
)

func (k Kind) String() string { return [...]string{"set", "replace", "remove", "get"}[k] }

// Space is the kind of item that a call is about.
type Space uint8

// The spaces.
const (
	Routes Space = iota
	Keys
)

// Outcome is what the caller learnt.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota // no answer, or one that says so: it may have happened, or may still
	Done                   // it happened
	Refused                // it did not and will not: no quorum, back pressure
	Failed                 // it met a state that it was not for: a precondition, nothing to remove
	Wrong                  // an answer that no state explains
)

func (o Outcome) String() string {
	return [...]string{"unknown", "done", "refused", "failed", "wrong"}[o]
}

// Item names what a call is about.
type Item struct {
	Space Space
	Name  string // destination or key
}

// Call is one attempt, as its caller saw it. Times are since the recorder began.
type Call struct {
	Client int
	Node   string
	Begin  time.Duration
	End    time.Duration // of the answer; meaningless where Outcome is Unknown

	Item
	Kind     Kind
	Slot     string
	Value    uint64 // unique among all calls but the attempts of one; 0 for Remove and Get
	ID       string // idempotency key; empty: none
	IfMatch  uint64 // version that is demanded; 0: none
	IfAbsent bool   // If-None-Match: *
	// Batch: the calls that are one commit have the same number, the attempts of a
	// commit too; 0: a call of its own.
	Batch int
	// Local: a read of what the node has at hand, which may be old.
	Local bool
	// Default: a read that leaves it to the node: the newest, or what it has,
	// marked as stale.
	Default bool

	Outcome Outcome
	// Unanswered: the log tells that it happened, nobody else did; when, is open.
	Unanswered bool
	Status     int    // HTTP status; 0: none came
	Revision   uint64 // Done: of the commit; a read: of the state that was read
	Epoch      uint64
	Replayed   bool
	Absent     bool   // a read: there was nothing; a removal: it found nothing
	Content    string // a read: see content
	Version    uint64 // a read: revision of the item's last change
	Stale      bool
	Detail     string // what the answer said, where it was no success
}

func (c *Call) write() bool { return c.Kind != Get }

// noChange: an acknowledged removal that found nothing.
func (c *Call) noChange() bool { return c.Kind == Remove && c.Outcome == Done && c.Absent }

func (c *Call) String() string {
	s := fmt.Sprintf("%s %s %s", c.Node, c.Kind, c.Name)
	if c.Slot != "" {
		s += " " + c.Slot
	}
	if c.Value != 0 {
		s += fmt.Sprintf(" =%d", c.Value)
	}
	if c.ID != "" {
		s += " id " + c.ID
	}
	if c.IfMatch != 0 {
		s += fmt.Sprintf(" if-match %d", c.IfMatch)
	}
	if c.IfAbsent {
		s += " if-absent"
	}
	if c.Local {
		s += " local"
	}
	if c.Default {
		s += " default"
	}
	s += fmt.Sprintf(" [%.3f, %.3f] %s", c.Begin.Seconds(), c.End.Seconds(), c.Outcome)
	if c.Status != 0 {
		s += fmt.Sprintf(" %d", c.Status)
	}
	if c.Revision != 0 {
		s += fmt.Sprintf(" at %d", c.Revision)
	}
	if c.Replayed {
		s += " replayed"
	}
	if c.Kind == Get && c.Outcome == Done {
		s += fmt.Sprintf(" {%s} version %d", c.Content, c.Version)
	}
	if c.Detail != "" {
		s += " (" + c.Detail + ")"
	}
	return s
}
