package etcdlog

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// etcd raises its NOSPACE alarm when a put would pass the quota, and then
// refuses every put until the alarm is disarmed; deleting goes on. Truncation has
// to put where the log begins from then on, before it deletes what lies before.
// So a full store is relieved in three steps: LiftAlarm, truncation, RecoverSpace.

// smallRoom is what moving the log's beginning and a small snapshot may take of
// the file, with the pages that a commit of the database copies.
const smallRoom = 128 << 10

// LiftAlarm makes puts possible again in a store where etcd's alarm is raised,
// if only for what makes more room: compact all history, defragment, disarm. It
// does nothing without an alarm. Where less than 128 KiB of a quota are free
// afterwards it leaves the alarm and returns ErrNoSpace. The alarm comes back with
// the put that finds no room.
func (l *Log) LiftAlarm(ctx context.Context) error {
	members, err := l.StoreStatus(ctx)
	if err != nil {
		return fmt.Errorf("lift the alarm: %w", err)
	}
	for _, m := range members {
		if m.NoSpace {
			if err := l.reclaim(ctx, func(quota int64) int64 { return quota - smallRoom }); err != nil {
				return fmt.Errorf("lift the alarm: %w", err)
			}
			return nil
		}
	}
	return nil
}

// RecoverSpace ends the read-only state after the quota was reached: compact
// all history, defragment, and, if each member is below 95 % of its quota then,
// disarm the members' NOSPACE alarms, which neither of the other two does.
// Members are those that Defragment sees: with embedded ones each node recovers
// its own. It cannot delete anything for the caller: where too little is free
// afterwards it leaves the alarm and returns ErrNoSpace; truncate (after
// LiftAlarm), then call it again.
func (l *Log) RecoverSpace(ctx context.Context) error {
	if err := l.reclaim(ctx, func(quota int64) int64 { return quota / 100 * 95 }); err != nil {
		return fmt.Errorf("recover space: %w", err)
	}
	return nil
}

// reclaim gives free space back and disarms alarms where every file is smaller
// than most of its quota.
func (l *Log) reclaim(ctx context.Context, most func(quota int64) int64) error {
	if _, err := l.Compact(ctx, 0); err != nil {
		return err
	}
	if err := l.Defragment(ctx); err != nil {
		return err
	}
	members, err := l.StoreStatus(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Quota > 0 && m.Size >= most(m.Quota) {
			return fmt.Errorf("%w: %d of %d bytes at %s are live", eventlog.ErrNoSpace, m.Size, m.Quota, m.Endpoint)
		}
	}
	for _, m := range members {
		if !m.NoSpace {
			continue
		}
		if _, err := l.client.Maintenance.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: m.MemberID, Alarm: pb.AlarmType_NOSPACE}); err != nil {
			return unavailable("disarm", err)
		}
	}
	return nil
}
