package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dvr/controller/backup"
	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
	"dvr/controller/cluster"
	"dvr/controller/httpapi"
)

// fine is a moment at which nothing is amiss.
func fine(at time.Duration) sensed {
	return sensed{wall: time.UnixMilli(1_800_000_000_000).Add(at), running: at, dir: "/data", free: 1 << 40, size: 1 << 20, quota: 1 << 30, keys: 1, most: 1000}
}

// raised are the names of alarms, and what they say.
func raised(list []httpapi.Alarm) (names string, text string) {
	for _, a := range list {
		names += a.Name + " "
		text += a.Detail + " → " + a.Do + "\n"
	}
	return strings.TrimSpace(names), text
}

// TestAlarms: each begins at its bound and not before, says what is wrong with
// figures and what to do, and ends by itself.
func TestAlarms(t *testing.T) {
	hour := time.Hour
	backup := func(age time.Duration, good int, problem string) *httpapi.BackupStatus {
		at := fine(0).wall.Add(-age)
		return &httpapi.BackupStatus{Directory: "/backups", Every: hour, Keep: 3, Good: good, Made: at, Since: at, Problem: problem}
	}
	for what, c := range map[string]struct {
		change func(*sensed)
		want   string
		says   []string
	}{
		"nothing":                  {func(*sensed) {}, "", nil},
		"enough of a disk":         {func(s *sensed) { s.free = diskReserve + s.size }, "", nil},
		"a full disk":              {func(s *sensed) { s.free = diskReserve + s.size - 1 }, "disk_full", []string{"256 MiB are free in /data", "free some"}},
		"an empty one":             {func(s *sensed) { s.free = 0 }, "disk_full", []string{"0 MiB"}},
		"a disk that is not known": {func(s *sensed) { s.free = -1 }, "", nil},
		"a store below its bound":  {func(s *sensed) { s.size = s.quota/100*70 - 1 }, "", nil},
		"a full store":             {func(s *sensed) { s.size = s.quota / 100 * 70 }, "store_full", []string{"69 %", "ETCD_QUOTA"}},
		"a store without a quota":  {func(s *sensed) { s.quota = 0 }, "", nil},
		"keys":                     {func(s *sensed) { s.keys = 900 }, "keys_full", []string{"90 %", "KV_QUOTA"}},
		"fewer keys":               {func(s *sensed) { s.keys = 899 }, "", nil},
		"a clock off its peers'":   {func(s *sensed) { s.skew = errors.New("the clock is 3s off the median") }, "clock", []string{"3s off", "chronyc"}},
		"a certificate":            {func(s *sensed) { s.certificate = "it ends: renew it" }, "certificate", []string{"it ends → renew it"}},
		"an archive":               {func(s *sensed) { s.archive = &httpapi.ArchiveStatus{Problem: "no space left"} }, "archive", []string{"no space left", "ARCHIVE_DIR"}},
		"a good archive":           {func(s *sensed) { s.archive = &httpapi.ArchiveStatus{} }, "", nil},
		"a fresh backup":           {func(s *sensed) { s.backup = backup(2*hour, 1, "") }, "", nil},
		"an old backup":            {func(s *sensed) { s.backup = backup(2*hour+1, 1, "") }, "backup", []string{"/backups is 2h0m0s old", "every 1h0m0s", "BACKUP_DIR"}},
		"an old one and why":       {func(s *sensed) { s.backup = backup(5*hour, 1, "no space left") }, "backup", []string{"5h0m0s", "no space left"}},
		"none yet":                 {func(s *sensed) { s.backup = backup(hour, 0, "") }, "", nil},
		"none for long":            {func(s *sensed) { s.backup = backup(3*hour, 0, "") }, "backup", []string{"there is no backup"}},
		"none, and why":            {func(s *sensed) { s.backup = backup(1, 0, "permission denied") }, "backup", []string{"permission denied"}},
		"a damaged one":            {func(s *sensed) { s.backup = backup(1, 2, "dvr-x.backup: damaged") }, "backup", []string{"not every backup is good", "dvr-x.backup"}},
		"two at once":              {func(s *sensed) { s.free, s.keys = 0, 1000 }, "disk_full keys_full", nil},
	} {
		var a alarms
		s := fine(0)
		c.change(&s)
		names, text := raised(a.judge(s))
		if names != c.want {
			t.Errorf("%s: %q, want %q: %s", what, names, c.want, text)
		}
		for _, w := range c.says {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in %s", what, w, text)
			}
		}
		if names, text := raised(a.judge(fine(alarmsEvery))); names != "" {
			t.Errorf("%s: it stays: %s", what, text)
		}
	}
}

// TestAlarmClockStep: a clock that is set is told for a while; one that runs, and
// a judge that comes late, are not.
func TestAlarmClockStep(t *testing.T) {
	var a alarms
	at, off := time.Duration(0), time.Duration(0)
	judge := func(pause, step time.Duration) string {
		at += pause
		off += step
		s := fine(at)
		s.wall = s.wall.Add(off)
		names, text := raised(a.judge(s))
		return names + ": " + text
	}
	for i, c := range []struct {
		pause, step time.Duration
		want        string
	}{
		{0, 0, ""},
		{5 * time.Second, time.Second, ""}, // slewed
		{time.Hour, 0, ""},                 // the process stood still
		{5 * time.Second, -3 * time.Second, "back by 3s at 2027-01-15T09:00:06Z"},
		{5 * time.Second, 0, "back by 3s"},
		{5 * time.Second, time.Hour, "forward by 1h0m0s"},
		{stepTold, 0, "forward by 1h0m0s"},
		{time.Second, 0, ""},
	} {
		if got := judge(c.pause, c.step); c.want == "" && got != ": " || !strings.Contains(got, c.want) || c.want != "" && !strings.HasPrefix(got, "clock: ") {
			t.Errorf("step %d: %s, want %q", i, got, c.want)
		}
	}
}

// TestAlarmSlowDisk: more than one slow flush in a hundred within the last minute,
// where there were enough to tell.
func TestAlarmSlowDisk(t *testing.T) {
	var a alarms
	at, n := time.Duration(0), flushes{all: 5000, slow: 4000} // before this is looked at
	for i, c := range []struct {
		fast, slow uint64
		want       string
	}{
		{0, 0, ""},
		{990, 10, ""},
		{0, 1, "disk_slow"}, // 11 of 1001
		{1000, 0, ""},
		{0, 0, ""},
	} {
		n.all += c.fast + c.slow
		n.slow += c.slow
		s := fine(at)
		s.syncs = n
		if names, text := raised(a.judge(s)); names != c.want {
			t.Errorf("%d: %q, want %q: %s", i, names, c.want, text)
		}
		at += alarmsEvery
	}
	for i, want := range []string{"", "disk_slow", ""} {
		at += slowWindow * 2
		few := n
		few.all += uint64(slowLeast - 1 + i)
		few.slow += uint64(slowLeast - 1 + i)
		before, s := fine(at), fine(at+alarmsEvery)
		before.syncs, s.syncs = n, few
		if i == 2 { // all of it is longer ago than a minute
			s = fine(at + slowWindow + 1)
			before.syncs, s.syncs = few, few
		}
		a.judge(before)
		if names, _ := raised(a.judge(s)); names != want {
			t.Errorf("few, %d: %q, want %q", i, names, want)
		}
		n = few
	}
}

// status asks a running node for its alarms as they are now.
func alarmsOf(t *testing.T, n *Node) string {
	t.Helper()
	n.raise(n.alarms.judge(n.sense()))
	_, status := call(t, n, "GET", "/v1/status", "")
	_, ready := call(t, n, "GET", "/readyz", "")
	_, metrics := call(t, n, "GET", "/metrics", "")
	for _, a := range n.alarms.list() {
		if !strings.Contains(status, fmt.Sprintf(`{"alarm":%q,"detail":`, a.Name)) || !strings.Contains(metrics, fmt.Sprintf(`dvr_alarm{alarm=%q} 1`, a.Name)) || !strings.Contains(ready, `"`+a.Name+`"`) {
			t.Errorf("%s is not told: %s\n%s", a.Name, status, ready)
		}
		if a.Detail == "" || a.Do == "" {
			t.Errorf("%+v", a)
		}
	}
	names, _ := raised(n.alarms.list())
	return names
}

// TestAlarmsOfANode: what a running node senses of itself, a backup that cannot be
// made, keys beyond their share, and that it is all over afterwards.
func TestAlarmsOfANode(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "backups")
	if err := os.WriteFile(kept, nil, 0o600); err != nil { // in the directory's place
		t.Fatal(err)
	}
	n, _, logs := start(t, append(environment(t, t.TempDir()), "KV_QUOTA=64KiB", "BACKUP_DIR="+kept, "BACKUP_INTERVAL=1h", "BACKUP_KEEP=2"))
	n.health.poll(within(t, patience))
	if n.backups.step(n.now()) == "" {
		t.Error("a backup was made where there is no directory")
	}
	if s := n.sense(); s.free <= 0 || s.size <= 0 || s.quota <= 0 || s.syncs.all == 0 || s.most != 64<<10 {
		t.Errorf("not sensed: %+v", s)
	}
	if code, body := call(t, n, "PUT", "/kv/k", `{"value":"`+strings.Repeat("x", 60<<10)+`"}`); code != 200 {
		t.Fatal(code, body)
	}
	if got := alarmsOf(t, n); got != "keys_full backup" {
		t.Errorf("%q", got)
	}
	if !strings.Contains(logs.String(), `"alarm":"keys_full"`) {
		t.Error("it is not logged")
	}
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if problem := n.backups.step(n.now()); problem != "" {
		t.Error(problem)
	}
	if code, body := call(t, n, "DELETE", "/kv/k", ""); code != 200 {
		t.Fatal(code, body)
	}
	if got := alarmsOf(t, n); got != "" {
		t.Errorf("%q", got)
	}
	if _, body := call(t, n, "GET", "/v1/status", ""); !strings.Contains(body, `"alarms":[]`) || !strings.Contains(body, `"good":1,"revision":2,"made":"`) {
		t.Error(body)
	}
	if _, body := call(t, n, "GET", "/metrics", ""); !strings.Contains(body, "dvr_backup_good 1") || !strings.Contains(body, "dvr_backup_interval_seconds 3600") || !strings.Contains(body, `dvr_alarm{alarm="backup"} 0`) {
		t.Error("metrics")
	}
	// The clock is set: the alarm says by how much.
	n.alarms.judge(n.sense())
	s := n.sense()
	s.wall = s.wall.Add(-time.Hour)
	n.alarms.judge(s)
	if got := alarmsOf(t, n); got != "clock" {
		t.Errorf("%q", got)
	}
}

// TestAlarmsAreKnownEverywhere: what one member, or an observer, has to be cared for
// all show, with what to do, and no more when it is over.
func TestAlarmsAreKnownEverywhere(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 2)
	form(t, seats...)
	observer := newSeat(t, "watcher")
	if err := observer.run(within(t, patience), t, "JOIN="+seats[1].api(), "OBSERVER=true"); err != nil {
		t.Fatal(err)
	}
	list := []httpapi.Alarm{{Name: httpapi.AlarmDiskSlow, Detail: "21 of 30 flushes", Do: "see to the disk"}}
	for _, at := range []*seat{seats[1], observer} {
		for _, asked := range []*seat{seats[0], seats[1], observer} {
			shown := func() (string, bool) {
				_, body := led(t, asked.node, "GET", "/v1/cluster/members", "")
				var v struct{ Members []cluster.Node }
				if err := json.Unmarshal([]byte(body), &v); err != nil {
					t.Fatal(err, body)
				}
				out := ""
				for _, m := range v.Members {
					for _, a := range m.Alarms {
						out += m.NodeID + " " + a.Detail + " " + a.Do
					}
				}
				return out, strings.Contains(body, `"alarms"`)
			}
			eventually(t, "the alarm of "+at.id+" at "+asked.id, func() bool {
				at.node.raise(list) // which the node's own look ends
				got, _ := shown()
				return got == at.id+" 21 of 30 flushes see to the disk"
			})
			eventually(t, "its end", func() bool { at.node.raise(nil); _, any := shown(); return !any })
		}
	}
}

// TestAlarmFullDisk: a file system that really fills up.
func TestAlarmFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512m"); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	n, _, _ := start(t, environment(t, dir))
	n.health.poll(within(t, patience))
	if got := alarmsOf(t, n); got != "" {
		t.Errorf("%q", got)
	}
	fill := filepath.Join(dir, "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, 300<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got := alarmsOf(t, n); got != "disk_full" {
		t.Errorf("%q", got)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if got := alarmsOf(t, n); got != "" {
		t.Errorf("%q", got)
	}
}

// TestAlarmCertificate: what ends soon is told with what to do, and is over once
// the file is replaced.
func TestAlarmCertificate(t *testing.T) {
	ca := certstest.New(t)
	var a alarms
	s := fine(0)
	s.certificate = ca.At(time.Now().Add(-48*time.Hour)).Load(certs.Node, "late").Alarm()
	names, text := raised(a.judge(s))
	if names != "certificate" || !strings.Contains(text, "has expired") || !strings.Contains(text, "→ `dvr cert renew") {
		t.Errorf("%s: %s", names, text)
	}
}

// TestBackupsOfANode: what a node makes by itself can be restored; without a
// quorum none is made, and the old ones stay.
func TestBackupsOfANode(t *testing.T) {
	t.Parallel()
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	left := filepath.Join(dir, ".dataplanes.json4711") // by a node that was killed
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, _, _ := start(t, append(environment(t, dir), "BACKUP_DIR="+kept, "BACKUP_INTERVAL=1m", "BACKUP_KEEP=1"))
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
	put(t, n, 1)
	for i := range 3 {
		if problem := n.backups.step(n.now().Add(time.Duration(i+1) * time.Hour)); problem != "" {
			t.Fatal(problem)
		}
		if s := n.backups.status(); s.Good != 1 || s.Revision != n.appender.State().Position().Revision {
			t.Errorf("%+v", s)
		}
	}
	files, err := filepath.Glob(filepath.Join(kept, "*.backup"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := backup.Read(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(within(t, patience), t.TempDir(), b, RestoreOptions{Now: time.Now()})
	if err != nil || restored.Digest != n.appender.State().Digest().String() {
		t.Errorf("%+v, %v", restored, err)
	}
}
