package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

// keyed is a service over a log in memory, and what a simple model says of its keys.
type keyed struct {
	log *memlog.Log
	app *appender.Appender
	svc *Service
	// at is the store after each revision, changes what each key went through.
	at      []map[string]string
	changes map[string][]KeyCommit
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newKeyed(t fataler) (*keyed, func()) {
	k := &keyed{log: memlog.New("6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"), at: []map[string]string{{}, {}}, changes: map[string][]KeyCommit{}}
	var err error
	if k.app, err = appender.Open(context.Background(), k.log, appender.Options{Node: "node-1", Judge: KeyQuota(1 << 20).Judge}); err != nil {
		t.Fatal(err)
	}
	planes := fibstream.New(k.app, fibstream.Options{Node: "node-1"})
	k.svc = New(Writer(k.app), Planes(planes, "node-1"), k.log)
	return k, func() {
		planes.Close()
		_ = k.app.Close()
	}
}

func testContext(t interface{ Cleanup(func()) }) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mutationOf(n int) *Mutation { return &Mutation{Actor: "alice", ID: fmt.Sprint("m", n)} }

// commit appends events and tells the model.
func (k *keyed) commit(t fataler, events ...eventlog.Event) {
	t.Helper()
	r, err := k.svc.Commit(context.Background(), mutationOf(len(k.at)), events)
	if err != nil {
		t.Fatal(err)
	}
	k.learn(t, r.Position.Revision, events)
}

// batch appends commits that lie in at most two batches.
func (k *keyed) batch(t fataler, commits ...[]eventlog.Event) {
	t.Helper()
	release := k.log.Faults().HoldAppends()
	var under []Submitted
	for i, events := range commits {
		m := mutationOf(len(k.at) + i)
		p, err := k.svc.appender.Submit(Change{Actor: m.Actor, ID: m.ID, Events: events})
		if err != nil {
			t.Fatal(err)
		}
		under = append(under, p)
	}
	release()
	for i, p := range under {
		a, err := p.Wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		k.learn(t, a.Position.Revision, commits[i])
	}
}

// learn tells the model of a commit.
func (k *keyed) learn(t fataler, r eventlog.Revision, events []eventlog.Event) {
	t.Helper()
	if int(r) != len(k.at) {
		t.Fatalf("revision %d, want %d", r, len(k.at))
	}
	now := maps.Clone(k.at[len(k.at)-1])
	for _, e := range events {
		var c KeyChange
		switch e := e.(type) {
		case *eventlog.KeyPut:
			c = KeyChange{Key: e.Key, Value: e.Value}
			now[e.Key] = e.Value
		case *eventlog.KeyDeleted:
			c = KeyChange{Key: e.Key, Deleted: true}
			delete(now, e.Key)
		default:
			continue
		}
		k.changes[c.Key] = append(k.changes[c.Key], KeyCommit{Revision: r, ID: mutationOf(len(k.at)).ID, Actor: "alice", Changes: []KeyChange{c}})
	}
	k.at = append(k.at, now)
}

func (k *keyed) newest() eventlog.Revision { return eventlog.Revision(len(k.at) - 1) }

// snapshot stores the newest state as the keeper does.
func (k *keyed) snapshot(t fataler) {
	t.Helper()
	st := k.app.State()
	if _, err := k.log.WriteSnapshot(context.Background(), appender.Describe(st), st.Save); err != nil {
		t.Fatal(err)
	}
}

func putting(key, value string) eventlog.Event { return &eventlog.KeyPut{Key: key, Value: value} }
func deleting(key string) eventlog.Event       { return &eventlog.KeyDeleted{Key: key} }

var modelKeys = []string{"a", "a/b", "a/c", "b", "ü %2F"}

// drawn is a commit of up to four events, each key once.
func drawn(t *rapid.T, n int) []eventlog.Event {
	var events []eventlog.Event
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(modelKeys), 0, 4, rapid.ID).Draw(t, "keys") {
		if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			events = append(events, deleting(key))
		} else {
			events = append(events, putting(key, fmt.Sprintf("v%d", n)))
		}
	}
	if len(events) == 0 || rapid.Bool().Draw(t, "router") {
		events = append(events, &eventlog.RouterSet{Router: "r1", Description: fmt.Sprint(n)})
	}
	return events
}

// TestKeysAgainstAModel: each key at each revision, listings, histories in
// pages of any size, and watches from any revision say what a map and a list
// of changes say, with snapshots in between and the log cut behind one.
func TestKeysAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, end := newKeyed(t)
		defer end()
		ctx := context.Background()
		low := eventlog.Revision(1)
		for n := range rapid.IntRange(1, 40).Draw(t, "commits") {
			if k.commit(t, drawn(t, n)...); rapid.IntRange(0, 3).Draw(t, "batch") == 0 {
				k.batch(t, drawn(t, n), drawn(t, n+100), drawn(t, n+200), drawn(t, n+300))
			}
			switch rapid.IntRange(0, 9).Draw(t, "upkeep") {
			case 0:
				k.snapshot(t)
			case 1:
				k.snapshot(t)
				low = k.newest() + 1
				for _, info := range must(k.log.Snapshots(ctx)) {
					if info.Revision < k.newest() {
						if err := k.log.DeleteSnapshot(ctx, info); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := k.log.Truncate(ctx, low); err != nil {
					t.Fatal(err)
				}
			}
		}
		k.checkPast(t, low)
		k.checkHistories(t, low)
		k.checkWatch(t, low)
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (k *keyed) checkPast(t *rapid.T, low eventlog.Revision) {
	ctx := context.Background()
	revisions := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
		for r := 1; r < len(k.at) && yield(r); r++ {
		}
	})).Draw(t, "revisions")
	now := k.app.State()
	for _, r := range revisions {
		at := eventlog.Revision(r)
		for _, key := range modelKeys {
			want, exists := k.at[r][key]
			got, err := k.svc.Key(ctx, Read{At: at}, key)
			if at < low-1 {
				// Beyond the log only what has not changed since is known.
				last, ok := now.Key(key)
				if unchanged := ok && last.Revision <= at; unchanged && (err != nil || got.Value != want) || !unchanged && !errors.Is(err, ErrGone) {
					t.Fatalf("key %q at %d, the log begins at %d: %+v %v", key, at, low, got, err)
				}
				continue
			}
			if exists && (err != nil || got.Value != want || got.Position.Revision != at || got.Position.Epoch != 1 || got.Tag.Revision != got.Revision) ||
				!exists && !errors.Is(err, ErrNotFound) {
				t.Fatalf("key %q at %d is %+v, %v; want %v %q", key, at, got, err, exists, want)
			}
		}
		if at < low-1 {
			continue
		}
		p, err := k.svc.KeyPage(ctx, Read{At: at}, "a", "")
		if err != nil {
			t.Fatal(err)
		}
		got, want := map[string]string{}, map[string]string{}
		for key := range p.Keys() {
			got[key.Key] = key.Value
		}
		for key, v := range k.at[r] {
			if strings.HasPrefix(key, "a") {
				want[key] = v
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the store at %d: %s", at, diff)
		}
	}
}

func (k *keyed) checkHistories(t *rapid.T, low eventlog.Revision) {
	for _, key := range modelKeys {
		want := slices.Clone(k.changes[key])
		slices.Reverse(want)
		_, exists := k.at[len(k.at)-1][key]
		retained := slices.DeleteFunc(slices.Clone(want), func(c KeyCommit) bool { return c.Revision < low })
		var got []KeyCommit
		before := eventlog.Revision(0)
		var err error
		for {
			var page KeyHistory
			limit := rapid.IntRange(1, 4).Draw(t, "limit")
			page, err = k.svc.KeyHistory(context.Background(), Read{}, key, before, limit)
			if err != nil {
				break
			}
			if len(page.Commits) > limit || page.Low != low {
				t.Fatalf("%d commits, the limit is %d; the log begins at %d, not %d", len(page.Commits), limit, page.Low, low)
			}
			got = append(got, page.Commits...)
			if page.Before == 0 {
				break
			}
			if before > 0 && page.Before >= before {
				t.Fatalf("the page before %d goes on before %d", before, page.Before)
			}
			before = page.Before
		}
		switch {
		case len(retained) == 0 && exists:
			if !errors.Is(err, ErrGone) {
				t.Fatalf("history of %q, which is older than the log: %v", key, err)
			}
			continue
		case len(retained) == 0:
			if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrGone) || len(got) > 0 {
				t.Fatalf("history of %q, which is not there: %+v %v", key, got, err)
			}
			continue
		case err != nil && !errors.Is(err, ErrGone):
			t.Fatal(err)
		case err != nil && low == 1:
			t.Fatalf("gone, of a whole log: %v", err)
		}
		for i := range got {
			got[i].Time = 0
		}
		if diff := cmp.Diff(retained, got); diff != "" {
			t.Fatalf("history of %q: %s", key, diff)
		}
	}
}

// checkWatch resumes at random revisions under random prefixes.
func (k *keyed) checkWatch(t *rapid.T, low eventlog.Revision) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for range 4 {
		after := eventlog.Revision(rapid.IntRange(1, len(k.at)-1).Draw(t, "after"))
		prefix := rapid.SampledFrom([]string{"", "a", "a/", "b", "zz"}).Draw(t, "prefix")
		w, err := k.svc.WatchKeys(ctx, Read{MinRevision: after}, prefix)
		if after+1 < low {
			if !errors.Is(err, ErrGone) {
				t.Fatalf("watch after %d, the log begins at %d: %v", after, low, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// A last change under every prefix ends the wait.
		k.commit(t, putting("a/zz", "end"), putting("b", "end"), putting("zz", "end"))
		got := map[string]string{}
		for key, v := range k.at[after] {
			if strings.HasPrefix(key, prefix) {
				got[key] = v
			}
		}
		last := after
		for last < k.newest() {
			list, err := w.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				if c.Revision <= last || c.ID != mutationOf(int(c.Revision)).ID || len(c.Changes) == 0 {
					t.Fatalf("after %d: %+v", last, c)
				}
				last = c.Revision
				for _, change := range c.Changes {
					if got[change.Key] = change.Value; change.Deleted {
						delete(got, change.Key)
					}
				}
				want := map[string]string{}
				for key, v := range k.at[last] {
					if strings.HasPrefix(key, prefix) {
						want[key] = v
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("at %d: %s", last, diff)
				}
			}
			if w.Position().Revision < last {
				t.Fatalf("delivered %d, the position is %v", last, w.Position())
			}
		}
	}
}

// TestWatchersShareReads: many that wait for the same change cost one read.
func TestWatchersShareReads(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	k.commit(t, putting("a", "1"))
	counted := &countingHistory{History: k.log}
	k.svc.keys = history.NewFeed(counted, aboutKeys)
	const watchers = 50
	begun, done := make(chan struct{}, watchers), make(chan error, watchers)
	for range watchers {
		w, err := k.svc.WatchKeys(testContext(t), Read{}, "")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			begun <- struct{}{}
			list, err := w.Next(testContext(t))
			if err == nil && (len(list) != 1 || list[0].Changes[0].Value != "2") {
				err = fmt.Errorf("%+v", list)
			}
			done <- err
		}()
	}
	for range watchers {
		<-begun
	}
	k.commit(t, putting("a", "2"))
	for range watchers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := counted.reads.Load(); n != 1 {
		t.Errorf("%d reads for %d watchers", n, watchers)
	}
	// Changes of anything else are not read at all.
	w := must(k.svc.WatchKeys(testContext(t), Read{}, ""))
	k.commit(t, &eventlog.RouterSet{Router: "r1"})
	k.commit(t, &eventlog.RouterSet{Router: "r1", Description: "x"})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || w.Position().Revision != k.newest() {
		t.Errorf("%v at %v", err, w.Position())
	}
	if n := counted.reads.Load(); n != 1 {
		t.Errorf("%d reads, though no key changed", n-1)
	}
}

type countingHistory struct {
	History
	reads atomic.Int64
}

func (c *countingHistory) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	c.reads.Add(1)
	return c.History.Read(ctx, after, fn)
}

// TestHistoryOfABigLog: bounded pages over many commits of other things, and
// windows that hold much are narrowed.
func TestHistoryOfABigLog(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	k.commit(t, putting("old", "1"))
	big := strings.Repeat("x", eventlog.MaxValue)
	for range 2*(16<<20)/eventlog.MaxValue + 20 {
		k.commit(t, putting("big", big))
	}
	k.commit(t, putting("new", "1"), deleting("old"))
	got, err := k.svc.KeyHistory(context.Background(), Read{}, "old", 0, 10)
	if err != nil || len(got.Commits) != 2 || got.Before != 0 || !got.Commits[0].Changes[0].Deleted || got.Commits[1].Revision != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	// A page holds only so many bytes.
	pages, commits := 0, 0
	for before := eventlog.Revision(0); pages == 0 || before > 0; pages++ {
		page, err := k.svc.KeyHistory(context.Background(), Read{}, "big", before, MaxHistory)
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for i := range page.Commits {
			held += len(page.Commits[i].Changes[0].Value)
		}
		if held > 4<<20+64*eventlog.MaxValue {
			t.Fatalf("a page of %d bytes", held)
		}
		commits, before = commits+len(page.Commits), page.Before
	}
	if pages < 3 || commits != len(k.changes["big"]) {
		t.Errorf("%d commits of %d in %d pages", commits, len(k.changes["big"]), pages)
	}
}

// TestPagesOfThePastAreNotKept: they are rebuilt, so that no number of listings
// holds more than the archive does.
func TestPagesOfThePastAreNotKept(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	k.commit(t, putting("a", "1"), putting("b", "1"), putting("c", "1"))
	k.commit(t, deleting("b"), putting("d", "1"))
	ctx := context.Background()
	var got []string
	cursor := ""
	for {
		k.svc.archive = history.NewArchive(k.log)
		p, err := k.svc.KeyPage(ctx, Read{At: 2}, "", cursor)
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for key := range p.Keys() {
			last = key.Key
			break
		}
		if last == "" {
			break
		}
		got = append(got, last)
		cursor = must(p.Next(k.svc, last))
	}
	if fmt.Sprint(got) != "[a b c]" || len(k.svc.pins.items) != 0 {
		t.Errorf("%v, %d states are pinned", got, len(k.svc.pins.items))
	}
}

// TestARebuildingGoesOnWhereItsCallersTimeoutEndedIt.
func TestARebuildingGoesOnWhereItsCallersTimeoutEndedIt(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	for n := range 50 {
		k.commit(t, putting("a", fmt.Sprint(n)))
	}
	k.commit(t, deleting("a"))
	ctx, cancel := context.WithCancel(context.Background())
	stopping := &stoppingHistory{History: k.log, at: 20, stop: cancel}
	k.svc.archive = history.NewArchive(stopping)
	if _, err := k.svc.Key(ctx, Read{At: 40}, "a"); !errors.Is(err, ErrBehind) {
		t.Fatalf("%v", err)
	}
	got, err := k.svc.Key(context.Background(), Read{At: 40}, "a")
	if err != nil || got.Value != "38" {
		t.Fatalf("%+v %v", got, err)
	}
	if stopping.after[0] != 0 || stopping.after[1] < 20 {
		t.Errorf("read after %v: the second began anew", stopping.after)
	}
	if _, err := k.svc.Key(context.Background(), Read{At: 40}, "a"); err != nil || len(stopping.after) != 2 {
		t.Errorf("a third time read after %v: %v", stopping.after, err)
	}
}

// stoppingHistory ends a context when the first read has come to a revision.
type stoppingHistory struct {
	History
	at    eventlog.Revision
	stop  func()
	after []eventlog.Revision // where reads began
}

func (s *stoppingHistory) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	s.after = append(s.after, after)
	return s.History.Read(ctx, after, func(b *eventlog.Batch) error {
		if err := fn(b); err != nil {
			return err
		}
		if b.Last() >= s.at && len(s.after) == 1 {
			s.stop()
			return ctx.Err()
		}
		return nil
	})
}

// TestStagedKeys: the changes of a commit that is too large for a batch are in
// the past, in the history and in watches like all others.
func TestStagedKeys(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	w := must(k.svc.WatchKeys(testContext(t), Read{}, "k/7"))
	var events []eventlog.Event
	for i := range eventlog.MaxCommitEvents + 10 {
		events = append(events, putting(fmt.Sprintf("k/%d", i), "v"))
	}
	k.commit(t, events...)
	k.commit(t, deleting("k/7"))
	if got, err := k.svc.Key(context.Background(), Read{At: 2}, "k/7"); err != nil || got.Value != "v" || got.Revision != 2 {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := k.svc.KeyHistory(context.Background(), Read{}, "k/7", 0, 10); err != nil || len(got.Commits) != 2 || got.Commits[1].Revision != 2 {
		t.Errorf("%+v %v", got, err)
	}
	list, err := w.Next(testContext(t))
	if err != nil || list[0].Revision != 2 || len(list[0].Changes) != 111 { // k/7, k/70 to 79, k/700 to 799
		t.Errorf("%d changes: %v", len(list[0].Changes), err)
	}
}

// TestWatchSurvivesAnOutage: while the log cannot be read, a watch waits.
func TestWatchSurvivesAnOutage(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	w := must(k.svc.WatchKeys(testContext(t), Read{}, ""))
	k.commit(t, putting("a", "1"))
	k.log.Faults().Down(eventlog.ErrUnavailable)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	k.log.Faults().Down(nil)
	if list, err := w.Next(testContext(t)); err != nil || list[0].Changes[0].Value != "1" {
		t.Errorf("%+v %v", list, err)
	}
}

// FuzzKeyCursor: no text makes a cursor that leaves its listing.
func FuzzKeyCursor(f *testing.F) {
	k, end := newKeyed(f)
	f.Cleanup(end)
	for _, key := range []string{"a/1", "a/2", "b/1", "a/ü"} {
		k.commit(f, putting(key, "v"))
	}
	for _, prefix := range []string{"", "a/"} {
		p := must(k.svc.KeyPage(context.Background(), Read{}, prefix, ""))
		f.Add(prefix, must(p.Next(k.svc, "a/1")))
	}
	f.Add("", "")
	f.Add("a", "azEgMSAyIDMgNCA1")
	f.Fuzz(func(t *testing.T, prefix, cursor string) {
		p, err := k.svc.KeyPage(context.Background(), Read{}, prefix, cursor)
		if err != nil {
			var field *eventlog.FieldError
			if !errors.As(err, &field) && !errors.Is(err, ErrGone) {
				t.Fatalf("%q: %v", cursor, err)
			}
			return
		}
		before := ""
		for key := range p.Keys() {
			if !strings.HasPrefix(key.Key, prefix) || key.Key <= before {
				t.Fatalf("%q after %q under %q", key.Key, before, prefix)
			}
			before = key.Key
		}
	})
}

// FuzzKeyQuota: whatever commits do to keys, the store stays within the quota,
// and what would not make it grow passes.
func FuzzKeyQuota(f *testing.F) {
	f.Add([]byte("abcabc"), 40)
	f.Add([]byte{0, 255, 1, 254, 3, 3, 3}, 10)
	f.Fuzz(func(t *testing.T, steps []byte, quota int) {
		q := KeyQuota(quota)
		fold := projector.NewFold("log")
		model := map[string]string{}
		weight := func() (n int64) {
			for key, v := range model {
				n += int64(len(key) + len(v))
			}
			return n
		}
		for _, b := range steps {
			key := fmt.Sprint("k", b%5)
			events := []eventlog.Event{putting(key, strings.Repeat("x", int(b/5)))}
			if b%3 == 0 {
				events = append(events, deleting("k9"))
			}
			if b%7 == 0 {
				events[0] = deleting(key)
			}
			before, was := weight(), maps.Clone(model)
			for _, e := range events {
				switch e := e.(type) {
				case *eventlog.KeyPut:
					model[e.Key] = e.Value
				case *eventlog.KeyDeleted:
					delete(model, e.Key)
				}
			}
			c := &eventlog.Commit{Revision: fold.Current().Position().Revision + 1, Time: 1, ID: "c", Actor: "a", Events: events}
			fits := weight() <= before || weight() <= int64(quota)
			if err := q.Judge(fold.Current(), c); (err == nil) != fits || err != nil && !errors.Is(err, ErrKeyQuota) {
				t.Fatalf("from %d to %d bytes, the quota is %d: %v", before, weight(), quota, err)
			}
			if !fits {
				model = was
				continue
			}
			if err := fold.Apply(c, eventlog.Hash{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// elsewhere is an appender behind the form in which changes travel. In doubt
// it tells nothing as replayed, as after a connection that was lost.
type elsewhere struct {
	Appender
	doubt bool
	made  int // ids
}

func (e *elsewhere) Append(ctx context.Context, c Change) (Appended, error) {
	if c.ID == "" {
		e.made++
		c.ID, c.Generated = fmt.Sprint("made", e.made), true
	}
	raw, err := AppendChange(nil, &c)
	if err != nil {
		return Appended{}, err
	}
	if c, err = new(ChangeReader).Read(raw); err != nil {
		return Appended{}, err
	}
	a, err := e.Appender.Append(ctx, c)
	a.Replayed = a.Replayed && !e.doubt
	return a, err
}

// TestDeletionsDecidedElsewhere: what was there is told without the decision
// having been made here, with and without a key of the caller's.
func TestDeletionsDecidedElsewhere(t *testing.T) {
	k, end := newKeyed(t)
	defer end()
	far := &elsewhere{Appender: k.svc.appender}
	k.svc.appender = far
	for _, id := range []string{"", "d1"} {
		k.commit(t, putting("a", "1"))
		for _, want := range []bool{true, false} {
			m := &Mutation{Actor: "bob", ID: id}
			if id != "" {
				m.ID = fmt.Sprint(id, want)
			}
			r, existed, err := k.svc.DeleteKey(context.Background(), m, "a")
			if err != nil || existed != want {
				t.Errorf("%q: existed %v, want %v: %v", id, existed, want, err)
			}
			far.doubt = !want
			if _, again, err := k.svc.DeleteKey(context.Background(), m, "a"); id != "" && (err != nil || again != want) {
				t.Errorf("%q again: existed %v, want %v: %v", id, again, want, err)
			}
			for len(k.at) <= int(r.Position.Revision) { // the model follows
				k.at = append(k.at, map[string]string{})
			}
		}
	}
}
