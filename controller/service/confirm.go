package service

import (
	"context"
	"fmt"
	"slices"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// Confirm keeps a commit that would undo itself. Errors: ErrNotFound for a
// revision still to come; ErrConflict where no confirmation is pending: it was
// confirmed or undone before, or none was asked for.
func (s *Service) Confirm(ctx context.Context, m *Mutation, r eventlog.Revision) (Receipt, error) {
	if r == 0 {
		return Receipt{}, invalid("revision", "must be 1 or more")
	}
	return s.apply(ctx, m, nil, &confirmCommit{r}, nil)
}

// confirmCommit ends a pending confirmation.
type confirmCommit struct {
	Revision eventlog.Revision `json:"revision"`
}

func (o *confirmCommit) Kind() string { return "commit.confirm" }

func (o *confirmCommit) Decide(st *projector.State) ([]eventlog.Event, error) {
	if o.Revision > st.Position().Revision {
		return nil, fmt.Errorf("commit %d: %w", o.Revision, ErrNotFound)
	}
	if _, ok := st.Confirmation(o.Revision); !ok {
		return nil, fmt.Errorf("%w: commit %d does not wait for a confirmation: it was confirmed or undone, or asked for none", ErrConflict, o.Revision)
	}
	return []eventlog.Event{&eventlog.ConfirmationConfirmed{Revision: o.Revision}}, nil
}

// Approve commits what another actor proposed. Errors: ErrNotFound; ErrConflict
// where it is no proposal; ErrForbidden where the caller has proposed it.
func (s *Service) Approve(ctx context.Context, m *Mutation, name string) (Receipt, error) {
	if t, ok := s.appender.State().Timer(name); ok && t.Proposer != "" {
		m.Caller.For = t.Proposer
		if m.Reason == "" {
			m.Reason = fmt.Sprintf("proposed by commit %d", t.Revision)
		}
	}
	return s.apply(ctx, m, nil, &approveProposal{name}, nil)
}

// approveProposal commits what a proposal holds.
type approveProposal struct {
	Name string `json:"name"`
}

func (o *approveProposal) Kind() string { return "proposal.approve" }

func (o *approveProposal) Decide(st *projector.State) ([]eventlog.Event, error) {
	t, ok := st.Timer(o.Name)
	switch {
	case !ok:
		return nil, fmt.Errorf("proposal %s: %w", o.Name, ErrNotFound)
	case t.Proposer == "":
		return nil, fmt.Errorf("%w: timer %s is no proposal", ErrConflict, o.Name)
	}
	if d := st.Disturbed(&t); len(d) > 0 {
		return nil, appender.Disturbed(st, d)
	}
	if now := projector.Lapse(t.Events, st.Time()); len(now) != len(t.Events) {
		return nil, fmt.Errorf("%w: a lifetime that proposal %s would bring back is over meanwhile: propose it again", ErrConflict, o.Name)
	}
	return append(slices.Clip(t.Events), &eventlog.TimerFired{Name: o.Name}), nil
}

// SetPolicy sets a guard rail or a freeze, or replaces it.
func (s *Service) SetPolicy(ctx context.Context, m *Mutation, e eventlog.Event) (Receipt, error) {
	if err := e.Validate(); err != nil {
		return Receipt{}, err
	}
	rec, err := s.apply(ctx, m, []eventlog.Event{e}, nil, nil)
	return rec, alone(err)
}

// RemoveItem removes what e removes: a guard rail, a freeze, a timer.
// Errors: ErrNotFound where it is not there.
func (s *Service) RemoveItem(ctx context.Context, m *Mutation, e eventlog.Event) (Receipt, error) {
	if err := e.Validate(); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &removeItem{eventOf[eventlog.Event]{e}}, nil)
}

// removeItem removes something that is there.
type removeItem struct {
	Event eventOf[eventlog.Event] `json:"event"`
}

func (o *removeItem) Kind() string { return "item.remove" }

func (o *removeItem) Decide(st *projector.State) ([]eventlog.Event, error) {
	e := o.Event.Event
	if st.Item(e).Event == nil {
		return nil, fmt.Errorf("%s: %w", nameOf(e), ErrNotFound)
	}
	return []eventlog.Event{e}, nil
}

func nameOf(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.GuardRemoved:
		return "guard " + e.Name
	case *eventlog.FreezeRemoved:
		return "freeze " + e.Name
	case *eventlog.TimerCancelled:
		return "timer " + e.Name
	}
	return string(e.Kind())
}
