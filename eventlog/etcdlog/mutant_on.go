//go:build mutant

package etcdlog

import (
	"context"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	mutantNoGuard = os.Getenv("MUTANT") == "noguard"
	mutantAbsent  = os.Getenv("MUTANT") == "absent"
)

// missing reads what this member has at the moment.
func (a *appending) missing(ctx context.Context) bool {
	r, err := a.log.get(ctx, a.key, clientv3.WithSerializable())
	return err == nil && len(r.Kvs) == 0
}
