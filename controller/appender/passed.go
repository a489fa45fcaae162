package appender

import "dvr/projector"

// passed is states that Open folded past: the newest two that lie passedBytes of
// log apart. They share with the newest what has not changed since.
type passed struct {
	states []*projector.State // oldest first
	bytes  int                // folded since the last
	over   bool               // Open has returned
}

// passedBytes is as much of the log as is looked through for the reasons of a way.
const passedBytes = 4 << 20

// begin forgets what belongs to a fold that was given up.
func (p *passed) begin(fold *projector.Fold) {
	if !p.over {
		*p = passed{states: []*projector.State{fold.State()}}
	}
}

// folded notes that a batch of so many bytes is folded, to its end.
func (p *passed) folded(fold *projector.Fold, bytes int) {
	if p.bytes += bytes; p.over || p.bytes < passedBytes {
		return
	}
	p.bytes = 0
	if p.states = append(p.states, fold.State()); len(p.states) > 2 {
		p.states = p.states[1:]
	}
}

func (p *passed) done() { p.over = true }

// Passed hands over, once, states from a little before the one that Open found,
// oldest first: the near past without a folding. Not safe for concurrent use.
func (a *Appender) Passed() []*projector.State {
	s := a.passed.states
	a.passed.states = nil
	return s
}
