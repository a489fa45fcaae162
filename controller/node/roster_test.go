package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/controller/fibstream"
	"dvr/eventlog"
)

// TestDataPlanesAreRememberedAcrossARestart: a node names the data planes of its
// last life, which ended in order or by kill -9 (the file is what that leaves).
func TestDataPlanesAreRememberedAcrossARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, rosterFile)
	environ := environment(t, dir)
	n, _, _ := start(t, environ)
	silentPlane(t, n)
	var killed []byte
	eventually(t, "the data plane in the file", func() bool {
		killed, _ = os.ReadFile(path)
		return bytes.Contains(killed, []byte(`"connected": true`))
	})
	stop(t, n)
	if raw, err := os.ReadFile(path); err != nil || !bytes.Contains(raw, []byte(`"connected": false`)) {
		t.Fatalf("after the stop the file holds %s (%v)", raw, err)
	}
	for _, end := range []struct {
		name string
		file []byte // nil: as it is
	}{{"in order", nil}, {"killed", killed}} {
		if end.file != nil {
			if err := os.WriteFile(path, end.file, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n, _, _ := start(t, environ)
		if code, body := call(t, n, "POST", "/routes?wait=installed", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":1}`); code != 201 || !strings.Contains(body, `"installed":[]`) || !strings.Contains(body, `"disconnected":["r1"]`) {
			t.Errorf("%s: %d %s", end.name, code, body)
		}
		if code, body := call(t, n, "GET", "/v1/dataplanes", ""); code != 200 || !strings.Contains(body, `"router":"r1"`) || !strings.Contains(body, `"connected":false`) {
			t.Errorf("%s: %d %s", end.name, code, body)
		}
		stop(t, n)
	}
	// One that cannot be read is said, replaced, and stops nothing.
	if err := os.WriteFile(path, killed[:len(killed)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	n, _, logs := start(t, environ)
	if !strings.Contains(logs.String(), "who this node's data planes were is not known") {
		t.Errorf("nothing is said of a torn roster: %s", logs)
	}
	silentPlane(t, n)
	eventually(t, "the file to be replaced", func() bool {
		list, err := loadRoster(dir)
		return err == nil && len(list) == 1
	})
}

// TestRosterFile: what is written is read back; nothing new is not written, and
// a directory that cannot be written is said once.
func TestRosterFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, rosterFile)
	since := time.Date(2026, 11, 21, 12, 0, 0, int(7*time.Millisecond), time.UTC)
	list := []fibstream.Member{
		{Router: "r1", Instance: "i", Version: "v", Sinks: []string{"kernel", "memory"}, Position: eventlog.Position{LogID: "l", Epoch: 2, Revision: 9}, DigestEqual: true, Connected: true, Since: since, Stamp: 5},
		{Router: "r2", Instance: "j", Since: since, Stamp: 6, Takeover: true},
	}
	var faults []error
	r := &roster{dir: dir, moved: make(chan struct{}, 1), onError: func(err error) { faults = append(faults, err) }, planes: func() []fibstream.Member { return nil }}
	if r.save(); len(faults) > 0 {
		t.Fatal(faults)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a node that never had a data plane wrote %s (%v)", path, err)
	}
	if got, err := loadRoster(dir); err != nil || got != nil {
		t.Errorf("no file reads as %v, %v", got, err)
	}
	r.planes = func() []fibstream.Member { return slices.Clone(list) }
	r.save()
	if got, err := loadRoster(dir); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("read back %+v (%v)", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if r.save(); len(faults) > 0 {
		t.Fatal(faults)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the same was written again")
	}
	// Who comes or goes is written without a wait.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx)
	}()
	r.planes = func() []fibstream.Member { return slices.Clone(list[:1]) }
	r.nudge()
	r.nudge()
	eventually(t, "one that went", func() bool {
		got, err := loadRoster(dir)
		return err == nil && len(got) == 1
	})
	cancel()
	<-ended
	for _, bad := range []string{`{"format":2,"dataplanes":[]}`, `{`, ``} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := loadRoster(dir); err == nil {
			t.Errorf("%q reads as %v", bad, got)
		}
	}
	r.dir = filepath.Join(dir, "gone")
	r.planes = func() []fibstream.Member { return slices.Clone(list) }
	r.save()
	if r.save(); len(faults) != 1 {
		t.Errorf("told %d times: %v", len(faults), faults)
	}
}
