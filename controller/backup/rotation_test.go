package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dvr/projector"
)

// rotation is one over the sample state, whose clock is the caller's.
func rotation(t *testing.T) (*Rotation, func() (*projector.State, error), *int) {
	s, asked := everything(t), 0
	r := &Rotation{Dir: filepath.Join(t.TempDir(), "backups"), LogID: s.Position().LogID, Every: time.Hour, Keep: 3, Maker: madeBy}
	return r, func() (*projector.State, error) { asked++; return s, nil }, &asked
}

func rotatedNames(t *testing.T, r *Rotation) []string {
	t.Helper()
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.Name() != rotationLock {
			out = append(out, e.Name())
		}
	}
	return out
}

// TestRotationAfterAKill: what a process that was killed left half written goes
// before the next backup, what others lay there stays.
func TestRotationAfterAKill(t *testing.T) {
	r, state, _ := rotation(t)
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".dvr-20270115T080000Z-12.backup4711", ".mine.backup4711"} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := r.Step(madeAt, state); err != nil || got.Good != 1 {
		t.Fatal(got, err)
	}
	if names := rotatedNames(t, r); len(names) != 2 || names[0] != ".mine.backup4711" {
		t.Errorf("%q", names)
	}
}

// TestRotation: a backup an hour, the newest three, each of which can be restored.
func TestRotation(t *testing.T) {
	r, state, asked := rotation(t)
	for i := range 10 {
		now := madeAt.Add(time.Duration(i) * 30 * time.Minute)
		got, err := r.Step(now, state)
		if err != nil || len(got.Bad) > 0 {
			t.Fatal(err, got.Bad)
		}
		if *asked != i/2+1 || got.Good != min(i/2+1, 3) {
			t.Errorf("after %d half hours: %d made, %d there", i, *asked, got.Good)
		}
		if want := madeAt.Add(time.Duration(i/2) * time.Hour).UnixMilli(); got.Newest.Made != want || got.Newest.Node != madeBy.Node {
			t.Errorf("the newest is of %d, want %d", got.Newest.Made, want)
		}
	}
	names := rotatedNames(t, r)
	if len(names) != 3 || names[2] != "dvr-20270115T120000Z-"+strings.Split(names[2], "-")[2] {
		t.Errorf("%q", names)
	}
	for _, n := range names {
		raw, err := os.ReadFile(filepath.Join(r.Dir, n))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := read(raw); err != nil || b.Fold.Current().Digest() != everything(t).Digest() {
			t.Errorf("%s cannot be restored: %v", n, err)
		}
		if info, err := os.Stat(filepath.Join(r.Dir, n)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", n, info.Mode(), err)
		}
	}
	// After a restart the age counts on.
	again := &Rotation{Dir: r.Dir, LogID: r.LogID, Every: r.Every, Keep: r.Keep, Maker: r.Maker}
	if _, err := again.Step(madeAt.Add(4*time.Hour+59*time.Minute), state); err != nil || *asked != 5 {
		t.Errorf("%d made, %v", *asked, err)
	}
}

// TestRotationKeepsGoodOnes: what is damaged counts for nothing and is named, and
// whatever lies there, the last that can be restored is never deleted.
func TestRotationKeepsGoodOnes(t *testing.T) {
	r, state, _ := rotation(t)
	r.Keep = 1
	broken := errors.New("the state is away")
	fails := func() (*projector.State, error) { return nil, broken }
	if _, err := r.Step(madeAt, state); err != nil {
		t.Fatal(err)
	}
	first := rotatedNames(t, r)[0]
	// One that is being made fails: the old one stays.
	if got, err := r.Step(madeAt.Add(2*time.Hour), fails); !errors.Is(err, broken) || got.Good != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	// The only one is damaged: the next is made at once, whatever its age, and the
	// damaged one is left, and told.
	path := filepath.Join(r.Dir, first)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(r.Dir, "before-the-upgrade.backup")
	if err := os.WriteFile(mine, []byte("anything"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.listed = false // a restart
	got, err := r.Step(madeAt.Add(time.Minute), state)
	if err != nil || got.Good != 1 || len(got.Bad) != 1 || !strings.Contains(got.Bad[0], first) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range 3 {
		if got, err = r.Step(madeAt.Add(time.Duration(i+2)*time.Hour), state); err != nil || got.Good != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if names := rotatedNames(t, r); len(names) != 3 || !slices.Contains(names, first) || !slices.Contains(names, "before-the-upgrade.backup") {
		t.Errorf("%q", names)
	}
}

// TestRotationAfterARestore: what a history that was left has put there, further on
// by its numbers, does not cost the backups of the one that goes on.
func TestRotationAfterARestore(t *testing.T) {
	r, state, _ := rotation(t)
	s := everything(t)
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(*Header){
		func(h *Header) { h.EpochNonce = strings.Repeat("ab", len(h.EpochNonce)/2) },
		func(h *Header) { h.Epoch++ },
		func(h *Header) { h.Epoch += 2 },
		func(h *Header) { h.Epoch += 3 },
	} {
		h := Describe(s)
		h.Made, h.Revision = madeAt.Add(time.Duration(i-100)*time.Hour).UnixMilli(), h.Revision+1000
		change(&h)
		f, err := os.Create(filepath.Join(r.Dir, fmt.Sprintf("%s%d%s", rotationPrefix, i, rotationSuffix)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(WriteSaved(f, h, func(out io.Writer) error { return s.Save(out) }), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		now := madeAt.Add(time.Duration(i) * time.Hour)
		got, err := r.Step(now, state)
		if err != nil || got.Newest.Made != now.UnixMilli() || got.Newest.EpochNonce != Describe(s).EpochNonce || got.Good != 3 || len(got.Bad) > 0 {
			t.Fatalf("hour %d: %+v, %v", i, got, err)
		}
	}
}

// TestRotationOfAnother: backups of another log are neither counted nor deleted.
func TestRotationOfAnother(t *testing.T) {
	r, state, asked := rotation(t)
	r.Keep = 1
	if _, err := r.Step(madeAt, state); err != nil {
		t.Fatal(err)
	}
	other := &Rotation{Dir: r.Dir, LogID: "aaaaaaaa-7a34-4b1c-9d52-0c8a5e0f4a11", Every: time.Hour, Keep: 1}
	got, err := other.Step(madeAt.Add(time.Second), func() (*projector.State, error) { return nil, errors.New("due") })
	if err == nil || !strings.Contains(err.Error(), "due") || len(got.Bad) != 1 || !strings.Contains(got.Bad[0], "another log") {
		t.Errorf("%+v, %v", got, err)
	}
	if len(rotatedNames(t, r)) != 1 || *asked != 1 {
		t.Error("it is gone")
	}
}

// TestRotationClock: a clock that was set back stops nothing, and the newest by
// what it holds stays.
func TestRotationClock(t *testing.T) {
	r, state, asked := rotation(t)
	for i, at := range []time.Time{madeAt.Add(1000 * time.Hour), madeAt, madeAt.Add(time.Minute), madeAt.Add(time.Hour)} {
		if _, err := r.Step(at, state); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 2, 2, 3}[i]; *asked != want {
			t.Errorf("step %d: %d made, want %d", i, *asked, want)
		}
	}
}

// TestRotationShared: while another process makes one, nothing is done, and what
// it made counts.
func TestRotationShared(t *testing.T) {
	r, state, asked := rotation(t)
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(r.Dir, rotationLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Step(madeAt, state); err != nil || *asked != 0 || got.Good != 0 {
		t.Errorf("%+v, %v, %d made", got, err, *asked)
	}
	lock.Close()
	other := &Rotation{Dir: r.Dir, LogID: r.LogID, Every: r.Every, Keep: r.Keep}
	for _, x := range []*Rotation{other, r} {
		if got, err := x.Step(madeAt.Add(time.Minute), state); err != nil || *asked != 1 || got.Good != 1 {
			t.Errorf("%+v, %v, %d made", got, err, *asked)
		}
	}
}

// TestRotationNowhere: a directory that cannot be made is an error each time.
func TestRotationNowhere(t *testing.T) {
	r, state, _ := rotation(t)
	if err := os.WriteFile(r.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Step(madeAt, state); err == nil || !strings.Contains(err.Error(), r.Dir) {
			t.Error(err)
		}
	}
	if err := os.Remove(r.Dir); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Step(madeAt, state); err != nil || got.Good != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
