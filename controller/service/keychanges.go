package service

import (
	"dvr/controller/history"
	"dvr/eventlog"
)

// KeyChange is one change of a key as the log tells it.
type KeyChange struct {
	Key, Value string
	Deleted    bool
}

// KeyCommit is a commit that changed keys, with those changes alone.
type KeyCommit struct {
	Revision          eventlog.Revision
	Time              int64 // log time, Unix milliseconds
	ID, Actor, Reason string
	Changes           []KeyChange
}

// aboutKeys says that an event is a key's.
func aboutKeys(e eventlog.Event) bool {
	_, ok := keyChangeOf(e)
	return ok
}

// keyChangeOf is the change of a key that an event is; false: it is another event.
func keyChangeOf(e eventlog.Event) (KeyChange, bool) {
	switch e := e.(type) {
	case *eventlog.KeyPut:
		return KeyChange{Key: e.Key, Value: e.Value}, true
	case *eventlog.KeyDeleted:
		return KeyChange{Key: e.Key, Deleted: true}, true
	}
	return KeyChange{}, false
}

// keyCommitOf is a commit with the changes of the keys that are wanted.
func keyCommitOf(c *history.Commit, want func(key string) bool) KeyCommit {
	k := KeyCommit{Revision: c.Revision, Time: c.Time, ID: c.ID, Actor: c.Actor, Reason: c.Reason}
	for _, e := range c.Events {
		if change, ok := keyChangeOf(e); ok && want(change.Key) {
			k.Changes = append(k.Changes, change)
		}
	}
	return k
}
