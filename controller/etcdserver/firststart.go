package etcdserver

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// A first start writes, in this order: an empty database, a write-ahead log that
// says whose it is, then in one piece the list of first members as log entries
// and the member's hard state (term, vote, commit). Killed before the last of
// these, a member has a log and is in no list: etcd restarts it as one that waits
// for a leader to tell it the list, for ever where nobody else has it. Since
// Raft answers nothing before its hard state is on disk, such a member has
// neither voted nor acknowledged anything, and its data may be thrown away.

// Unfinished tells whether a first start was killed before the member could
// tell anybody anything: the write-ahead log is there and has no hard state. It
// reads the whole log. Errors: of the file system, and of a log that is damaged
// other than at its end; the data must be kept then.
func (c *Config) Unfinished() (bool, error) {
	if !c.Initialized() {
		return false, nil
	}
	w, err := wal.OpenForRead(zap.NewNop(), c.wal(), &walpb.Snapshot{})
	if err != nil {
		return false, fmt.Errorf("write-ahead log: %w", err)
	}
	defer w.Close()
	_, state, _, err := w.ReadAll()
	if err != nil {
		return false, fmt.Errorf("write-ahead log: %w", err)
	}
	return state.GetTerm() == 0 && state.GetVote() == 0 && state.GetCommit() == 0, nil
}

// Discard removes etcd's directory, for a member that has told nobody anything
// (Unfinished, or never Initialized). A crash leaves it whole or unseen.
func (c *Config) Discard() error {
	aside := c.Dir() + ".unfinished"
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("discard etcd's data: %w", err)
	}
	if err := os.Rename(c.Dir(), aside); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("discard etcd's data: %w", err)
	}
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("discard etcd's data: %w", err)
	}
	return nil
}

func (c *Config) wal() string { return filepath.Join(c.Dir(), "member", "wal") }
