package appender

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// MaxPending is how many commits may wait for their confirmation at a time: as
// many as a data plane keeps.
const MaxPending = 64

var (
	// ErrGuarded: guard rails or freezes refuse the commit; see GuardError.
	ErrGuarded = errors.New("refused by a guard rail")
	// ErrConflict: the state does not allow what is asked; nothing was stored.
	ErrConflict = errors.New("conflict")
)

// GuardError is ErrGuarded with what the commit does not pass.
type GuardError struct{ Breaches []projector.Breach }

func (e *GuardError) Error() string {
	const most = 4
	var list []string
	for _, b := range e.Breaches[:min(len(e.Breaches), most)] {
		list = append(list, b.Name+": "+b.Text)
	}
	if more := len(e.Breaches) - most; more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%v: %s (%s)", ErrGuarded, strings.Join(list, "; "), e.remedy())
}

// remedy is how the change is made all the same.
func (e *GuardError) remedy() string {
	const force = "--force --reason WHY passes"
	for _, b := range e.Breaches {
		if b.By == projector.ByApproval {
			return "--propose asks for it, and another actor's `dvr approve` does it"
		}
		if b.By != projector.ByDefault {
			return fmt.Sprintf("`dvr %s remove %s` lifts it, %s", b.By, b.Name, force)
		}
	}
	return force
}

// Unwrap makes it ErrGuarded.
func (e *GuardError) Unwrap() error { return ErrGuarded }

// guard holds commits against guard rails and freezes. It keeps the FIBs that it
// compared last. Not safe for concurrent use.
type guard struct {
	fibs   map[eventlog.RouterID]*projector.FIB
	census projector.Census
	after  *projector.State // of the commit that was judged last, where it was folded for that
}

// judge gives the names of what r passes by force. A router that something still
// speaks of is not removed by force either. current is the state that the
// commit applies to; frozen gives it to keep. Cost: what Policy.MayShrink takes,
// unless a guard or freeze is in force or the commit may shrink a FIB: then FIBs
// are compared.
func (g *guard) judge(r *Request, c *eventlog.Commit, current *projector.State, frozen func() *projector.State) (forced []string, err error) {
	g.after = nil
	if r.ConfirmWithin > 0 {
		if err := unsettled(current, c.Events); err != nil {
			return nil, err
		}
	}
	if r.Exempt {
		return nil, nil
	}
	if err := referredTo(c, r.Named, func() (*projector.State, error) { return g.behind(c, frozen()) }); err != nil {
		return nil, err
	}
	policy := current.Policy()
	breaches := append(policy.Approvals(c.Events), powers(current, r, c)...)
	if len(breaches) > 0 && !approves(current, c) {
		return nil, &GuardError{breaches}
	}
	breaches = lockout(current, r, c)
	idle, shrinks := policy.Idle(), policy.MayShrink(current, c.Events)
	if idle && !shrinks && len(breaches) == 0 {
		return nil, nil
	}
	if !idle {
		var origins map[string]int
		if policy.CountsOrigins() {
			origins = g.census.At(frozen())
		}
		breaches = append(breaches, policy.Breaches(current, c, origins)...)
	}
	if shrinks {
		more, err := g.shrinks(policy, c, frozen())
		if err != nil {
			return nil, err
		}
		for _, b := range more { // what touches a protected route itself is said already
			if !slices.ContainsFunc(breaches, func(o projector.Breach) bool { return o.Name == b.Name }) {
				breaches = append(breaches, b)
			}
		}
	}
	if len(breaches) == 0 {
		return nil, nil
	}
	if !r.Force {
		return nil, &GuardError{breaches}
	}
	for _, b := range breaches {
		if !slices.Contains(forced, b.Name) {
			forced = append(forced, b.Name)
		}
	}
	slices.Sort(forced)
	return forced[:min(len(forced), maxForced)], nil
}

// lastToken names the guard against revoking the last token of an admin, which
// nobody sets.
const lastToken = "last-admin-token"

// lockout is the breach of a commit that revokes the last token by which an admin
// comes in, made by somebody who came in by a token.
func lockout(s *projector.State, r *Request, c *eventlog.Commit) []projector.Breach {
	if !r.Outside || r.Principal == nil || !r.Principal.ByToken() {
		return nil
	}
	id := s.Access().LastAdminToken(c.Events, c.Time)
	if id == "" {
		return nil
	}
	return []projector.Breach{{Name: lastToken, Text: fmt.Sprintf("%s is the last token of an admin without a scope, and nobody could undo it: make another first, `dvr auth token create ADMIN`", id)}}
}

// maxForced is how many names a commit takes.
const maxForced = 64

// behind is the state that the commit leads to from s.
func (g *guard) behind(c *eventlog.Commit, s *projector.State) (_ *projector.State, err error) {
	if g.after == nil {
		trial := *c
		g.after, err = s.Try(&trial)
	}
	return g.after, err
}

// maxKept bounds the FIBs that are kept to compare the next ones with, and
// keptFor the revisions that they may lie back: they hold on to their state.
const (
	maxKept = 64
	keptFor = 4096
)

// shrinks compares the FIBs before and after, of the routers that can tell: how
// many prefixes leave, and whether protected ones do.
func (g *guard) shrinks(policy *projector.Policy, c *eventlog.Commit, s *projector.State) ([]projector.Breach, error) {
	after, err := g.behind(c, s)
	if err != nil {
		return nil, err
	}
	routers := policy.Shrinking(s, after, c.Events)
	kept := map[eventlog.RouterID]*projector.FIB{}
	table := func(r eventlog.RouterID) (before, after_ *projector.FIB) {
		before = s.FIB(r, g.fibs[r])
		if len(kept) < maxKept {
			kept[r] = before
		}
		return before, after.FIB(r, before)
	}
	var out []projector.Breach
	if len(routers) > 0 {
		all, allAfter := table(eventlog.AllRouters)
		for _, r := range routers {
			n, ok := s.Holds(r, all)
			m, okAfter := after.Holds(r, allAfter)
			if !ok || !okAfter {
				before, after := table(r)
				a4, a6 := before.Len()
				b4, b6 := after.Len()
				n, m = a4+a6, b4+b6
				out = append(out, policy.Strands(before, after)...)
			}
			out = append(out, policy.Shrinks(r, n, m)...)
		}
	}
	for r, f := range g.fibs { // of the others those that are not old
		if kept[r] == nil && len(kept) < maxKept && f.Position().Revision+keptFor > s.Position().Revision {
			kept[r] = f
		}
	}
	g.fibs = kept
	return out, nil
}

// unsettled refuses a commit under confirmation that touches what another one has changed.
func unsettled(s *projector.State, events []eventlog.Event) error {
	pending := s.Pending()
	if len(pending) >= MaxPending {
		return fmt.Errorf("%w: %d commits wait for their confirmation already; confirm some", ErrConflict, len(pending))
	}
	if i, by := s.Unsettled(events); i >= 0 {
		return fmt.Errorf("%w: events[%d] is about what commit %d changed, which waits for its confirmation: confirm that first", ErrConflict, i, by)
	}
	return nil
}

// Trial is what a request would do.
type Trial struct {
	Before, After *projector.State
	Commit        eventlog.Commit // revision and time as they would be now; no events: nothing changes
}

// Try judges r as if it were the next at the newest published state and folds it
// on an overlay: nothing is stored, and its id is neither looked for nor
// remembered. Errors: those of Append that are about the request. Cost: what the
// commit touches, beside its judgement.
func (a *Appender) Try(r Request) (*Trial, error) {
	if err := a.Fault(); err != nil {
		return nil, err
	}
	s := a.State()
	if r.ID == "" {
		r.ID = NewID(a.options.Now())
	}
	p := &Pending{request: r, commit: commitOf(&r)}
	p.deadline = a.deadline(&r, s)
	p.confirm()
	c := &p.commit
	if r.Check != nil || r.Prepare != nil {
		if err := p.prepare(s); err != nil {
			return nil, err
		}
	}
	if err := validate(c); err != nil {
		return nil, err
	}
	t := &Trial{Before: s, After: s}
	if len(c.Events) > 0 {
		if err := judgeReferences(s, c); err != nil {
			return nil, err
		}
		c.Revision, c.Epoch, c.Time = s.Position().Revision+1, s.Position().Epoch, max(s.Time(), a.options.Now().UnixMilli())
		if err := authorize(s, &r, c, c.Time); err != nil {
			return nil, err
		}
		if a.options.Judge != nil {
			if err := a.options.Judge(s, c); err != nil {
				return nil, err
			}
		}
		if !r.Exempt {
			if err := judgeRecursion(func() *projector.State { return s }, c); err != nil {
				return nil, err
			}
		}
		var err error
		var g guard
		if c.Forced, err = g.judge(&r, c, s, func() *projector.State { return s }); err != nil {
			return nil, err
		}
		if t.After = g.after; t.After == nil {
			if t.After, err = s.Try(c); err != nil {
				return nil, err
			}
		}
	}
	t.Commit = *c
	return t, nil
}

// deadline is when a request's confirmation would have to come were it made now; 0:
// it asks for none. The loop sets what counts: see due.
func (a *Appender) deadline(r *Request, s *projector.State) int64 {
	if r.ConfirmWithin <= 0 {
		return 0
	}
	return max(s.Time(), a.options.Now().UnixMilli()) + r.ConfirmWithin.Milliseconds()
}

// confirm adds to the commit that it waits for its confirmation. Events that the
// loop prepares get it there.
func (p *Pending) confirm() {
	if p.deadline > 0 && len(p.commit.Events) > 0 {
		p.commit.Events = append(slices.Clip(p.commit.Events), &eventlog.ConfirmationOpened{Deadline: p.deadline})
	}
}

// confirmBy moves the deadline of a commit that confirm has completed.
func (p *Pending) confirmBy(at int64) {
	p.deadline = at
	p.commit.Events[len(p.commit.Events)-1] = &eventlog.ConfirmationOpened{Deadline: at}
}

// due makes the time for the confirmation count from the commit's own, which it
// has from the loop. What is staged has it already, with an allowance, and is refused
// where that was not enough.
func (p *Pending) due() error {
	c := &p.commit
	if p.deadline == 0 || len(c.Events) == 0 {
		return nil
	}
	at := c.Time + p.request.ConfirmWithin.Milliseconds()
	switch {
	case p.stage == nil && p.deadline != at:
		p.confirmBy(at)
		stored := *c // what is encoded loses its place
		p.form.encode(&stored)
	case p.stage != nil && p.deadline < at:
		return fmt.Errorf("%w: the change took so long to store that less than %s would be left to confirm it: ask again", eventlog.ErrUnavailable, p.request.ConfirmWithin)
	}
	return nil
}

// errRoom: with what it passes by force the commit does not fit the batch.
var errRoom = errors.New("no room in the batch")

// pass notes what the commit passes by force, in its form, too.
func (p *Pending) pass(b *batch, forced []string) error {
	c := &p.commit
	if slices.Equal(c.Forced, forced) {
		return nil
	}
	c.Forced = forced
	stored := *c
	if p.stage != nil {
		stored.Events = []eventlog.Event{p.stage}
	}
	p.form.encode(&stored)
	if !b.fits(len(p.form.bytes)) {
		return errRoom
	}
	return nil
}
