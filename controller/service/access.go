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
