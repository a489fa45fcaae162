package launcher

import (
	"context"
	"strings"
	"time"
)

// planeEvery is the pause between two questions to a data plane.
const planeEvery = time.Second

// planeStale begins what a data plane says of itself where it forwards what it
// has and cannot have more; the reason follows.
const planeStale = "stale: "

// watchPlane asks the node's data plane as long as its process runs, until ctx
// ends: it runs on where it refuses the nodes' log, so nothing but its own words
// tell of that.
func (l *Launcher) watchPlane(ctx context.Context, m *managed) {
	t := time.NewTicker(planeEvery)
	defer t.Stop()
	for {
		says := ""
		if m.plane.Status().PID != 0 {
			short, cancel := context.WithTimeout(ctx, askTime)
			says, _ = l.options.AskPlane(short, loopback(l.store.get().Nodes[m.id].Ports.DataPlane)) // "" where it does not answer
			cancel()
		}
		l.mu.Lock()
		changed := m.planeSays != says
		m.planeSays = says
		l.mu.Unlock()
		if changed && ctx.Err() == nil {
			l.broadcast()
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// planeStatus is what is shown of a data plane's process that says this of itself.
func planeStatus(p *supervised, listen, says string) *PlaneStatus {
	s := &PlaneStatus{State: p.State, PID: p.PID, Since: utc(p.Since), Restarts: p.Restarts, Listen: listen, LastError: p.LastError}
	if p.PID == 0 {
		return s
	}
	s.Status = says
	if reason, ok := strings.CutPrefix(says, planeStale); ok {
		s.Status, s.LastError = strings.TrimSuffix(planeStale, ": "), reason
	}
	return s
}
