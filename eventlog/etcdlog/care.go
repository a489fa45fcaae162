package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// MemberStatus is the state of the store at one member of etcd.
type MemberStatus struct {
	Endpoint  string
	MemberID  uint64
	Leader    bool
	Learner   bool
	Version   string
	Size      int64 // of the database file, bytes
	InUse     int64 // of that, in use
	Quota     int64 // 0: unknown
	Revision  int64 // etcd's
	RaftIndex uint64
	Applied   uint64
	NoSpace   bool // this member's alarm
	Corrupt   bool // this member's alarm
}

// errUnanswered: an etcd in this process that is closed ends the goroutine that
// asks it (etcdserver's fatal trap) instead of answering.
var errUnanswered = errors.New("no answer")

// StoreStatus asks each endpoint of the client (in process: the one member), all
// at once: one that is silent until ctx ends holds up none of the others. The
// first error is returned beside what the others answered.
func (l *Log) StoreStatus(ctx context.Context) ([]MemberStatus, error) {
	endpoints := l.endpoints()
	answers := make([]*clientv3.StatusResponse, len(endpoints))
	errs := make([]error, len(endpoints))
	var asking sync.WaitGroup
	for i, endpoint := range endpoints {
		errs[i] = errUnanswered
		asking.Go(func() { answers[i], errs[i] = l.memberStatus(ctx, endpoint) })
	}
	alarms := map[uint64][]pb.AlarmType{}
	list, firstErr := l.client.Maintenance.AlarmList(ctx)
	asking.Wait()
	if firstErr == nil {
		for _, a := range list.Alarms {
			alarms[a.GetMemberID()] = append(alarms[a.GetMemberID()], a.GetAlarm())
		}
	} else {
		firstErr = unavailable("list alarms", firstErr)
	}
	var all []MemberStatus
	for i, r := range answers {
		if err := errs[i]; err != nil {
			if firstErr == nil {
				firstErr = unavailable("status", err)
			}
			continue
		}
		m := MemberStatus{
			Endpoint: endpoints[i], MemberID: r.Header.GetMemberId(), Learner: r.IsLearner, Version: r.Version,
			Leader: r.Leader == r.Header.GetMemberId(), Size: r.DbSize, InUse: r.DbSizeInUse, Quota: r.DbSizeQuota,
			Revision: r.Header.GetRevision(), RaftIndex: r.RaftIndex, Applied: r.RaftAppliedIndex,
		}
		for _, a := range alarms[m.MemberID] {
			m.NoSpace = m.NoSpace || a == pb.AlarmType_NOSPACE
			m.Corrupt = m.Corrupt || a == pb.AlarmType_CORRUPT
		}
		all = append(all, m)
	}
	return all, firstErr
}

// memberStatus is etcd's status of one member. In process, etcd 3.7 reads its
// database for it also after that was closed, and crashes.
func (l *Log) memberStatus(ctx context.Context, endpoint string) (r *clientv3.StatusResponse, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			r, err = nil, fmt.Errorf("%w: %v", errUnanswered, crash)
		}
	}()
	return l.client.Maintenance.Status(ctx, endpoint)
}

// endpoints are what maintenance calls are addressed to; a client in process
// has none and ignores the name.
func (l *Log) endpoints() []string {
	if e := l.client.Endpoints(); len(e) > 0 {
		return e
	}
	return []string{"in-process"}
}

// Compact drops etcd's history but for the newest keep revisions: enough to
// put back a batch that is changed or deleted, and to go on after a cut watch.
// It waits until the space is free inside the file. Current values, so all
// batches, are untouched. It returns the oldest revision left.
func (l *Log) Compact(ctx context.Context, keep int64) (int64, error) {
	r, err := l.get(ctx, headKey, clientv3.WithCountOnly())
	if err != nil {
		return 0, unavailable("compact", err)
	}
	at := r.Header.GetRevision() - keep
	if at <= 0 {
		return 0, nil
	}
	_, err = l.client.KV.Compact(ctx, at, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return 0, unavailable("compact", err)
	}
	return at, nil
}

// ErrNoDefragment: the client is in process, where etcd's own call crashes,
// and Options.Defragment is not set.
var ErrNoDefragment = errors.New("defragmentation in process needs Options.Defragment")

// Defragment gives the free space of the files back to the system: of the own
// member in process, else of all endpoints, followers first, the leader last.
// A member answers nothing while its file is copied (1.5 s for 400 MB), so call
// it rarely, and in a cluster of embedded members not on all nodes at once.
func (l *Log) Defragment(ctx context.Context) error {
	if len(l.client.Endpoints()) == 0 {
		if l.options.Defragment == nil {
			return ErrNoDefragment
		}
		if err := l.options.Defragment(); err != nil {
			return fmt.Errorf("defragment: %w", err)
		}
		return nil
	}
	members, err := l.StoreStatus(ctx)
	if err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	for _, leaders := range []bool{false, true} {
		for _, m := range members {
			if m.Leader != leaders {
				continue
			}
			if _, err := l.client.Maintenance.Defragment(ctx, m.Endpoint); err != nil {
				return unavailable("defragment "+m.Endpoint, err)
			}
		}
	}
	return nil
}
