package service

import (
	"context"
	"errors"
	"fmt"

	"dvr/eventlog"
	"dvr/projector"
)

// Key is one key of the key-value store as a read shows it.
type Key struct {
	projector.Key // Revision: of its last change
	Tag           Tag
	// Position is the state's that was read; with Read.At the one asked for.
	Position eventlog.Position
	Stale    bool
}

// Key finds a key, linearizable by default. With r.At it is shown as it was at
// that revision. Errors: ErrNotFound where the key is absent, and only then;
// ErrGone for a revision that cannot be rebuilt any more. Cost: O(log keys);
// of a past revision a rebuilding, unless the key has not changed since.
func (s *Service) Key(ctx context.Context, r Read, key string) (Key, error) {
	if err := eventlog.CheckKey(key); err != nil {
		return Key{}, named("key", err)
	}
	r, err := s.settled(ctx, r)
	if err != nil {
		return Key{}, err
	}
	if at := s.appender.State(); r.At > 0 && r.At <= at.Position().Revision && r.MinRevision == 0 && r.Min.LogID == "" {
		if k, ok := at.Key(key); ok && k.Revision <= r.At {
			return keyAt(View{State: at}, k, r.At), nil
		}
	}
	v, err := s.View(ctx, r, true)
	if err != nil {
		return Key{}, err
	}
	at := v.State.Position().Revision
	k, ok := v.State.Key(key)
	out := keyAt(v, k, at)
	if !ok {
		return out, v.absent(r, fmt.Errorf("key %s at revision %d: %w", quoted(key), at, ErrNotFound))
	}
	return out, nil
}

func keyAt(v View, k projector.Key, r eventlog.Revision) Key {
	at := v.State.Position()
	at.Epoch, at.Revision = v.State.EpochOf(r), r
	return Key{k, Tag{v.State.EpochOf(k.Revision), k.Revision}, at, v.Stale}
}

// PutKey sets a key. The receipt's position is also the key's version.
// Errors: ErrPrecondition, ErrKeyQuota.
func (s *Service) PutKey(ctx context.Context, m *Mutation, key, value string) (Receipt, error) {
	e := &eventlog.KeyPut{Key: key, Value: value}
	if err := check(e); err != nil {
		return Receipt{}, err
	}
	if !m.conditional() {
		return s.apply(ctx, m, []eventlog.Event{e}, nil, nil)
	}
	return s.apply(ctx, m, nil, &putKey{m.demand(), eventOf[*eventlog.KeyPut]{e}}, nil)
}

// DeleteKey removes a key and says whether it was there: absent it stays so,
// and that is no error. Errors: ErrPrecondition; a repetition under an
// idempotency key reads what the first call did in the log, which may fail.
func (s *Service) DeleteKey(ctx context.Context, m *Mutation, key string) (r Receipt, existed bool, err error) {
	if err := check(&eventlog.KeyDeleted{Key: key}); err != nil {
		return Receipt{}, false, err
	}
	r, err = s.apply(ctx, m, nil, &deleteKey{m.demand(), key}, nil)
	if err != nil || !r.Remembered {
		return r, err == nil && !r.NoChange, err
	}
	// Another call under this id made the commit: it is empty where nothing was deleted.
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	if err = s.appender.Wait(ctx, r.Position.Revision); err != nil {
		return r, false, unseen(&r, err)
	}
	err = s.CommitAt(ctx, r.Position.Revision, func(c *eventlog.Commit) error {
		existed = len(c.Events) > 0
		return nil
	})
	if errors.Is(err, ErrGone) {
		err = fmt.Errorf("what the first call under this id deleted: %w", err)
	}
	if err != nil {
		err = &MutationError{r.ID, err}
	}
	return r, existed, err
}

// named gives an error of a check its field.
func named(field string, err error) error {
	var f *eventlog.FieldError
	if errors.As(err, &f) {
		return &eventlog.FieldError{Field: field, Reason: f.Reason}
	}
	return err
}

// quoted is a key for a message, cut where it is long.
func quoted(key string) string {
	const most = 64
	if len(key) > most {
		return fmt.Sprintf("%q…", key[:most])
	}
	return fmt.Sprintf("%q", key)
}
