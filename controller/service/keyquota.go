package service

import (
	"errors"
	"fmt"

	"dvr/eventlog"
	"dvr/projector"
)

// ErrKeyQuota: the key-value store's own quota is used up; nothing was stored.
// Routes are not concerned.
var ErrKeyQuota = errors.New("the quota of the key-value store is used up")

// KeyQuota is how many bytes keys and values may take together.
type KeyQuota int64

// Judge refuses a commit that makes the key-value store grow beyond the quota.
// What frees more than it takes always passes, also above a quota that was
// lowered. It is an appender.Options.Judge: asked with the exact state that the
// commit applies to. Cost: O(the commit's events).
func (q KeyQuota) Judge(st *projector.State, c *eventlog.Commit) error {
	grows := int64(0)
	for _, e := range c.Events { // an identity occurs once in a commit
		switch e := e.(type) {
		case *eventlog.KeyPut:
			grows += int64(len(e.Key) + len(e.Value))
			grows -= weightOf(st, e.Key)
		case *eventlog.KeyDeleted:
			grows -= weightOf(st, e.Key)
		}
	}
	if used := st.KeyBytes(); grows > 0 && used+grows > int64(q) {
		return fmt.Errorf("%w: of %d bytes (KV_QUOTA) %d are used, this needs %d more; delete keys or raise it", ErrKeyQuota, int64(q), used, grows)
	}
	return nil
}

func weightOf(st *projector.State, key string) int64 {
	k, ok := st.Key(key)
	if !ok {
		return 0
	}
	return int64(len(k.Key) + len(k.Value))
}
