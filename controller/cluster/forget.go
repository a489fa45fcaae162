package cluster

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/controller/etcdserver"
	"dvr/eventlog"
)

// Forget deletes the registrations of members that are no longer in the list,
// after a recovery, and returns their node ids. Observers stay.
func Forget(ctx context.Context, client *clientv3.Client, members []etcdserver.Member) ([]string, error) {
	m := Manager{o: Options{Client: client}}
	have, err := m.registrations(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("forget lost members: %w: %w", eventlog.ErrUnavailable, err)
	}
	gone := []string{}
	for id, reg := range have {
		if reg.Observer || slices.ContainsFunc(members, func(e etcdserver.Member) bool { return e.Name == id }) {
			continue
		}
		if _, err := client.Delete(ctx, registerPrefix+id); err != nil {
			return gone, fmt.Errorf("forget lost members: %w: %w", eventlog.ErrUnavailable, err)
		}
		gone = append(gone, id)
	}
	slices.Sort(gone)
	return gone, nil
}
