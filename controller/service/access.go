package service

import (
	"context"
	"fmt"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// State is the newest one of this node; it never blocks.
func (s *Service) State() *projector.State { return s.appender.State() }

// UseJoinToken writes into a join token which node has used it; again by the same
// node it changes nothing. Errors: ErrForbidden where another has, ErrUnauthenticated
// where the token is gone.
func (s *Service) UseJoinToken(ctx context.Context, id, node, source string) error {
	m := &Mutation{Actor: eventlog.SystemActor, Source: source, Reason: "node " + node + " joins"}
	_, err := s.apply(ctx, m, nil, &useToken{id, node, time.Now().UnixMilli()}, nil)
	return err
}

// EndJoinTokens removes the join tokens that node has used, which else would let
// one of its name in until they expire, for who m says. None: nothing is stored.
func (s *Service) EndJoinTokens(ctx context.Context, m *Mutation, node string) error {
	if events, err := (&endTokens{node}).Decide(s.State()); len(events) == 0 {
		return err
	}
	m.Reason = "node " + node + " is removed"
	_, err := s.apply(ctx, m, nil, &endTokens{node}, nil)
	return err
}

// endTokens is the end of the join tokens that a node has used.
type endTokens struct {
	Node string `json:"node"`
}

func (o *endTokens) Kind() string { return "token.end" }

func (o *endTokens) Decide(st *projector.State) ([]eventlog.Event, error) {
	var events []eventlog.Event
	for t := range st.Tokens() {
		if t.Join && t.Node == o.Node && len(events) < eventlog.MaxCommitEvents {
			events = append(events, &eventlog.TokenRemoved{ID: t.ID})
		}
	}
	return events, nil
}

// useToken is the use of a join token by a node.
type useToken struct {
	ID   string `json:"id"`
	Node string `json:"node"`
	Now  int64  `json:"now"`
}

func (o *useToken) Kind() string { return "token.use" }

func (o *useToken) Decide(st *projector.State) ([]eventlog.Event, error) {
	e := st.Item(&eventlog.TokenRemoved{ID: o.ID}).Event
	t, ok := e.(*eventlog.TokenSet)
	switch {
	case !ok || !t.Join || t.Expires != 0 && o.Now >= t.Expires:
		return nil, fmt.Errorf("%w: the token was revoked or has expired", ErrUnauthenticated)
	case t.Node == o.Node:
		return nil, nil
	case t.Node != "":
		return nil, fmt.Errorf("%w: the join token %s was used by node %s", ErrForbidden, o.ID, t.Node)
	}
	used := *t
	used.Node = o.Node
	return []eventlog.Event{&used}, nil
}
