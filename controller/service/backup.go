package service

import (
	"context"
	"fmt"

	"dvr/controller/backup"
)

// Backup finds the state to back up: the newest, linearizable by default, or the
// one that r.At names. Errors: View's; ErrConflict where the state cannot be backed up.
func (s *Service) Backup(ctx context.Context, r Read) (View, error) {
	v, err := s.View(ctx, r, true)
	if err != nil {
		return v, err
	}
	if err := backup.Check(v.State); err != nil {
		return v, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return v, nil
}
