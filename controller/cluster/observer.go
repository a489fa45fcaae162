package cluster

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"
)

// observeEvery is how often an observer asks whether it still belongs to the
// cluster and where the members are.
const observeEvery = 2 * time.Second

// Observe keeps an observer connected to the members as they change, and
// remembers them in its identity for the next start. It returns true when the
// observer was removed, false when ctx ends.
func (m *Manager) Observe(ctx context.Context, id *Identity, dir string) (removed bool) {
	t := time.NewTicker(observeEvery)
	defer t.Stop()
	for {
		r, err := m.read(ctx, false)
		if err == nil {
			if reg, ok := r.registers[m.o.NodeID]; !ok || !reg.Observer {
				return true
			}
			m.follow(ctx, &r, id, dir)
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
}

func (m *Manager) follow(ctx context.Context, r *roster, id *Identity, dir string) {
	next := *id
	next.remember(m.view(ctx, r, false).Members)
	slices.Sort(next.Members)
	slices.Sort(next.APIs)
	if len(next.Members) == 0 || slices.Equal(next.Members, id.Members) && slices.Equal(next.APIs, id.APIs) {
		return
	}
	if err := next.Save(dir); err != nil {
		m.o.Logger.Warn("the members are not remembered for the next start", zap.Error(err))
	}
	id.Members, id.APIs = next.Members, next.APIs
	m.o.Client.SetEndpoints(next.Members...)
}
