package robustness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// scene is what a fault acts in.
type scene struct {
	*Cluster
	rng  *rand.Rand // of this fault alone
	v    *Violations
	hold time.Duration // how long a fault lasts, about
	logf func(format string, args ...any)
	// patience bounds what is waited for.
	patience time.Duration
}

// longest bounds what a fault waits for: a join, a refusal, the end of a process.
const longest = 90 * time.Second

// last waits for as long as the fault is to last.
func (s *scene) last(ctx context.Context) {
	t := time.NewTimer(s.hold/2 + s.upTo(s.hold))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// upTo is a random duration below d.
func (s *scene) upTo(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(d))) }

// target is a member, the leader rather than another.
func (s *scene) target(ctx context.Context) *Seat {
	members := s.Members()
	any := members[s.rng.IntN(len(members))]
	if s.rng.IntN(3) > 0 {
		if l := s.Leader(ctx); l != nil {
			return l
		}
	}
	return any
}

// others are the members without one.
func (s *scene) others(not *Seat) []*Seat {
	var out []*Seat
	for _, o := range s.Members() {
		if o != not {
			out = append(out, o)
		}
	}
	return out
}

// mend starts and heals everything, in order that the next fault meets a whole
// cluster, and waits until every member is ready and takes a change.
func (s *scene) mend(ctx context.Context) error {
	s.Network.Heal()
	for _, m := range s.Seats {
		if err := m.Jump(0); err != nil {
			return err
		}
	}
	if err := s.Restore(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if err := s.Recovered(ctx); err != nil {
		return err
	}
	for _, m := range s.Members() {
		if err := s.writable(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// writable waits until a change is taken through the node.
func (s *scene) writable(ctx context.Context, m *Seat) error {
	for {
		bounded, cancel := context.WithTimeout(ctx, 6*time.Second)
		err := m.probe(bounded, s.rng.Uint32())
		cancel()
		if err == nil {
			return nil
		}
		if !m.Running() {
			if e := m.Start(); e != nil {
				return e
			}
		}
		if pause(ctx) != nil {
			return fmt.Errorf("%s takes no change: %w\n%s", m.Name, err, m.Log())
		}
	}
}

// probe makes a change that the checks do not look at.
func (s *Seat) probe(ctx context.Context, metric uint32) error {
	body := fmt.Sprintf(`{"destination":"10.255.0.0/24","next_hop":"192.0.2.1","metric":%d}`, metric%1000)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.API+"/routes?timeout=5s", bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.cluster.asking.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return errors.New(resp.Status)
	}
	return nil
}
