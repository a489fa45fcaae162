package etcdserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

// storedPatience is for a database that another process has open.
const storedPatience = 2 * time.Second

// StoredMembers is the member list as the database of a member that does not run
// has it; what its write-ahead log alone holds, a few entries at most, is not in it.
// Nothing is written. Errors: of the file system, and of a damaged or used database.
func (c *Config) StoredMembers() ([]Member, error) {
	path := filepath.Join(c.Dir(), "member", "snap", "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: storedPatience})
	if err != nil {
		return nil, fmt.Errorf("members in %s: %w", path, err)
	}
	var out []Member
	err = db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("members"))
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			var m membership.Member
			if err := json.Unmarshal(v, &m); err != nil {
				return fmt.Errorf("members in %s: %w", path, err)
			}
			out = append(out, newMember(uint64(m.ID), m.Name, m.PeerURLs, m.ClientURLs, m.IsLearner))
			return nil
		})
	})
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out, errors.Join(err, db.Close())
}

// CopyTo copies etcd's directory of a member that does not run below another
// data directory, which is then as good a member's. The original is only read.
// Cost: its size in disk and time. Errors: of the file system.
func (c *Config) CopyTo(dataDir string) error {
	to := Config{DataDir: dataDir}
	err := filepath.WalkDir(c.Dir(), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(c.Dir(), path)
		if err != nil {
			return err
		}
		target := filepath.Join(to.Dir(), below)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case d.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", c.Dir(), err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
