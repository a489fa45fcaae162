package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"go.uber.org/zap"

	"dvr/controller/durable"
	"dvr/controller/fibstream"
	"dvr/eventlog"
)

const (
	rosterFile = "dataplanes.json"
	// rosterBytes bounds what is read of it: four times a full registry's.
	rosterBytes = 32 << 20
	// rosterEvery is between two looks at what data planes have acked meanwhile,
	// rosterPause between two writes of who is connected.
	rosterEvery = 10 * time.Second
	rosterPause = 200 * time.Millisecond
)

// roster keeps who this node's data planes are in a file of the data directory,
// for its next life (decision 2).
type roster struct {
	dir     string
	planes  func() []fibstream.Member
	onError func(error)
	moved   chan struct{} // somebody came or went
	written []fibstream.Member
	failing bool
}

// enrolled is a member in the file.
type enrolled struct {
	Router      string    `json:"router"`
	Instance    string    `json:"instance"`
	Version     string    `json:"version,omitempty"`
	Sinks       []string  `json:"sinks,omitempty"`
	LogID       string    `json:"log_id,omitempty"`
	Epoch       uint64    `json:"epoch,omitempty"`
	Revision    uint64    `json:"revision,omitempty"`
	DigestEqual bool      `json:"digest_equal"`
	Connected   bool      `json:"connected"`
	Since       time.Time `json:"since"`
	Stamp       uint64    `json:"stamp"`
	Takeover    bool      `json:"takeover,omitempty"`
}

type enrolment struct {
	Format     int        `json:"format"`
	DataPlanes []enrolled `json:"dataplanes"`
}

// loadRoster reads what the last life wrote; none is an empty one.
func loadRoster(dir string) ([]fibstream.Member, error) {
	f, err := os.Open(filepath.Join(dir, rosterFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("roster of data planes: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, rosterBytes))
	if err != nil {
		return nil, fmt.Errorf("roster of data planes: %w", err)
	}
	var stored enrolment
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("roster of data planes: %s: %w", f.Name(), err)
	}
	if stored.Format != 1 {
		return nil, fmt.Errorf("roster of data planes: %s has format %d, not 1", f.Name(), stored.Format)
	}
	out := make([]fibstream.Member, 0, len(stored.DataPlanes))
	for _, e := range stored.DataPlanes {
		out = append(out, fibstream.Member{
			Router: eventlog.RouterID(e.Router), Instance: e.Instance, Version: e.Version, Sinks: e.Sinks,
			Position:    eventlog.Position{LogID: e.LogID, Epoch: e.Epoch, Revision: eventlog.Revision(e.Revision)},
			DigestEqual: e.DigestEqual, Connected: e.Connected, Since: e.Since, Stamp: e.Stamp, Takeover: e.Takeover,
		})
	}
	return out, nil
}

// nudge tells that somebody came or went. It does not block.
func (r *roster) nudge() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// run writes at once what nudge tells of, and every while what was acked, until
// ctx ends. The last word is the stop of the node.
func (r *roster) run(ctx context.Context) {
	t := time.NewTicker(rosterEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.save()
		case <-r.moved:
			r.save()
			select {
			case <-time.After(rosterPause):
			case <-ctx.Done():
				return
			}
		}
	}
}

// save writes the file where it would say something else. A failure is told
// once: what is forgotten after a restart are names, no routes.
func (r *roster) save() {
	now := r.planes()
	if len(now) == 0 && r.written == nil || reflect.DeepEqual(now, r.written) {
		return
	}
	stored := enrolment{Format: 1, DataPlanes: make([]enrolled, 0, len(now))}
	for _, m := range now {
		stored.DataPlanes = append(stored.DataPlanes, enrolled{
			Router: string(m.Router), Instance: m.Instance, Version: m.Version, Sinks: m.Sinks,
			LogID: m.Position.LogID, Epoch: m.Position.Epoch, Revision: uint64(m.Position.Revision),
			DigestEqual: m.DigestEqual, Connected: m.Connected, Since: m.Since.UTC().Truncate(time.Millisecond), Stamp: m.Stamp, Takeover: m.Takeover,
		})
	}
	raw, err := json.MarshalIndent(stored, "", " ")
	if err == nil {
		err = durable.Write(filepath.Join(r.dir, rosterFile), append(raw, '\n'), 0o600)
	}
	if err == nil {
		r.written, r.failing = now, false
		return
	}
	if !r.failing {
		r.failing = true
		r.onError(fmt.Errorf("roster of data planes: %w", err))
	}
}

// newRoster reads the file; one that cannot be read is said and replaced.
func (n *Node) newRoster() (r *roster, known []fibstream.Member) {
	r = &roster{
		dir: n.settings.DataDir, moved: make(chan struct{}, 1),
		planes: func() []fibstream.Member { return n.planes.Roster() },
		onError: func(err error) {
			n.log.Warn("data planes that leave are forgotten when this node restarts", zap.Error(err))
		},
	}
	known, err := loadRoster(r.dir)
	if err != nil {
		n.log.Warn("who this node's data planes were is not known", zap.Error(err))
	}
	return r, known
}
