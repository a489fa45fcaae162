package cluster

import (
	"context"
	"slices"
	"strings"
)

// Support is a node and the highest level of the log that it supports; 0: not
// known.
type Support struct {
	Node     string
	Observer bool
	Level    uint32
}

// Supports lists what the nodes of the cluster registered, those that are
// offline too, sorted by id: voters and learners by what their program said when
// it started last, an observer by what it said when it was admitted. Cost: a
// quorum read of the list. Errors: eventlog.ErrUnavailable, ErrForeign.
func (m *Manager) Supports(ctx context.Context) ([]Support, error) {
	r, err := m.read(ctx, false)
	if err != nil {
		return nil, err
	}
	return r.supports(), nil
}

func (r *roster) supports() []Support {
	var out []Support
	for _, e := range r.members {
		reg := r.of(e)
		out = append(out, Support{Node: reg.NodeID, Level: reg.Level})
	}
	for _, reg := range r.registers {
		if reg.Observer && !slices.ContainsFunc(out, func(s Support) bool { return s.Node == reg.NodeID }) {
			out = append(out, Support{Node: reg.NodeID, Observer: true, Level: reg.Level})
		}
	}
	slices.SortFunc(out, func(a, b Support) int { return strings.Compare(a.Node, b.Node) })
	return out
}
