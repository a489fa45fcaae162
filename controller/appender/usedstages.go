package appender

import (
	"context"
	"errors"
	"sync"

	"dvr/eventlog"
)

// usedStages are the stages that were folded since the start, so those that a
// start from the newest snapshot would need, and maybe some more. The zero
// value is empty. Safe for concurrent use. Memory: some 200 bytes a staged
// commit that is retained.
type usedStages struct {
	mu sync.Mutex
	of map[string]usedStage
}

type usedStage struct {
	stage eventlog.CommitStaged
	at    eventlog.Revision
}

func (u *usedStages) add(s *eventlog.CommitStaged, at eventlog.Revision) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[string]usedStage{}
	}
	u.of[s.ID] = usedStage{*s, at}
}

// from lists those that commits from low on refer to, and forgets the others.
func (u *usedStages) from(low eventlog.Revision) []eventlog.CommitStaged {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []eventlog.CommitStaged
	for id, used := range u.of {
		if used.at < low {
			delete(u.of, id)
			continue
		}
		list = append(list, used.stage)
	}
	return list
}

// MendStages puts back what somebody changed or deleted of the stages that were
// folded since the start and that commits from low on refer to, where the log
// can. Cost where nothing is wrong: what MendStage costs for each.
func (a *Appender) MendStages(ctx context.Context, low eventlog.Revision) error {
	mender, ok := a.log.(eventlog.StageMender)
	if !ok {
		return nil
	}
	var errs []error
	for _, s := range a.used.from(low) {
		errs = append(errs, mender.MendStage(ctx, &s))
	}
	return errors.Join(errs...)
}
