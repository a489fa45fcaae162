package robustness

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// moveLeader asks a member to hand leadership to another.
func moveLeader(ctx context.Context, s *scene) error {
	members := s.Members()
	at, to := s.target(ctx), members[s.rng.IntN(len(members))]
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.API+"/v1/cluster/leader", strings.NewReader(`{"node_id":"`+to.Name+`"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if resp, err := s.asking.Do(req); err == nil { // under other faults it may well fail
		s.logf("leadership to %s: %s", to.Name, resp.Status)
		resp.Body.Close()
	}
	return nil
}

// loseData takes a member's data away in two ways; the node must refuse to go
// on either time. Then it is replaced.
func loseData(ctx context.Context, s *scene) error {
	t := s.target(ctx)
	t.mu.Lock()
	t.member = false // nobody starts it meanwhile, nobody asks it
	t.mu.Unlock()
	for _, lost := range []struct{ what, part, setting string }{
		{"its etcd data", "etcd", ""},
		{"all its data", "", s.initial()},
	} {
		t.Kill()
		if err := t.Empty(lost.part); err != nil {
			return err
		}
		var settings []string
		if lost.setting != "" {
			settings = []string{lost.setting}
		}
		if err := t.Start(settings...); err != nil {
			return err
		}
		log, err := t.Ended(ctx)
		if err != nil {
			s.v.Addf("wiped", "%s lost %s and does not refuse: %v", t.Name, lost.what, err)
		} else if !strings.Contains(log, "cluster remove") {
			s.v.Addf("wiped", "%s lost %s and does not say what to do:\n%s", t.Name, lost.what, log)
		}
	}
	t.Kill()
	if err := s.Remove(ctx, t); err != nil {
		return err
	}
	return s.Join(ctx, t)
}

// joinAndLeave lets a spare node join while etcd is compacted to the last
// revision, again and again, and then leave.
func joinAndLeave(ctx context.Context, s *scene) error {
	var spare *Seat
	for _, o := range s.Seats {
		if !slices.Contains(s.Members(), o) {
			spare = o
		}
	}
	if spare == nil {
		return nil
	}
	joining, done := context.WithCancel(ctx)
	compacted := make(chan int)
	go func() {
		n := 0
		for joining.Err() == nil {
			members := s.Members()
			if members[n%len(members)].compact(joining) == nil {
				n++
			}
			_ = pause(joining)
		}
		compacted <- n
	}()
	err := s.Join(ctx, spare)
	done()
	s.logf("%s joined; %d compactions meanwhile", spare.Name, <-compacted)
	if err != nil {
		return err
	}
	s.last(ctx)
	return errors.Join(s.Remove(ctx, spare), spare.Empty(""))
}
