package auth

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dvr/eventlog"
)

// recoveryFile is in DATA_DIR: whoever can write there can do everything to the
// node anyway, and may make an admin where the last one's token is lost.
const recoveryFile = "new-admin.json"

// Recovery is an admin that a node makes at its next start.
type Recovery struct {
	Actor  string `json:"actor"`
	ID     string `json:"id"`
	SHA256 string `json:"sha256"`
}

// WriteRecovery leaves in a node's data directory that actor is to be admin, with
// a new token, which it gives. One that is there already is an error.
func WriteRecovery(dir, actor string) (token, id string, err error) {
	if err := eventlog.CheckActor(actor); err != nil {
		return "", "", err
	}
	token, id, hash := NewToken()
	raw, err := json.Marshal(Recovery{actor, id, hex.EncodeToString(hash[:])})
	if err != nil {
		return "", "", err
	}
	f, err := os.OpenFile(filepath.Join(dir, recoveryFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", "", fmt.Errorf("%w: start the node on %s, which makes that admin; or remove the file, if the token is lost", err, dir)
	}
	if err != nil {
		return "", "", err
	}
	_, err = f.Write(append(raw, '\n'))
	return token, id, errors.Join(err, f.Sync(), f.Close())
}

// ReadRecovery gives the events of what WriteRecovery left in dir; none: there is
// nothing.
func ReadRecovery(dir string) ([]eventlog.Event, error) {
	raw, err := os.ReadFile(filepath.Join(dir, recoveryFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r Recovery
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", recoveryFile, err)
	}
	set := &eventlog.TokenSet{ID: r.ID, Actor: r.Actor}
	if n, err := hex.Decode(set.SHA256[:], []byte(r.SHA256)); err != nil || n != len(set.SHA256) || len(r.SHA256) != 2*n {
		return nil, fmt.Errorf("%s: sha256 is not right", recoveryFile)
	}
	if err := set.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", recoveryFile, err)
	}
	return []eventlog.Event{set, &eventlog.RoleSet{Actor: r.Actor, Grants: []eventlog.Grant{{Role: "admin"}}}}, nil
}

// EndRecovery removes what WriteRecovery left.
func EndRecovery(dir string) error { return os.Remove(filepath.Join(dir, recoveryFile)) }
